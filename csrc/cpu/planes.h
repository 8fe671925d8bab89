// SPDX-License-Identifier: Apache-2.0
// Kernels on bit planes, for counting: a word holds one bit of 64 codes, so logic alone adds up the differing bits of a
// slice of codes, and a popcount tells how many lie at a distance. Included by kernels.h; level.h explains the terms.
//
// Of V, beside what kernels.h lists, they take these where a level has them:
//   majority(a, b, c), bit_xor3(a, b, c)    the carry and the sum of three bits
//   any(x)                                  whether a bit is set
//   shift_left(x, bits)                     of 64-bit lanes; to the right where bits < 0
#pragma once

#include <cstdint>
#include <cstring>

#include "level.h"

namespace fasthash::cpu {
namespace {

template <class V>
inline typename V::Type load_plane(const Plane& plane, int at) {
  return V::load(plane.words + at);
}

template <class V>
inline void store_plane(Plane& plane, int at, typename V::Type x) {
  V::store(x, reinterpret_cast<int64_t*>(plane.words + at));
}

// Lanes of 64 bits, shifted. The compilers know how for their own vectors, a level says it for others.
template <class V>
inline typename V::Type shift_right(typename V::Type x, int bits) {
  if constexpr (requires { V::shift_left(x, bits); }) {
    return V::shift_left(x, -bits);
  } else if constexpr (V::kWide == 1) {
    return x >> bits;
  } else {
    typedef unsigned long long Unsigned __attribute__((vector_size(sizeof(x))));
    return (typename V::Type)((Unsigned)x >> bits);
  }
}

template <class V>
inline typename V::Type shift_left(typename V::Type x, int bits) {
  if constexpr (requires { V::shift_left(x, bits); }) {
    return V::shift_left(x, bits);
  } else {
    return x << bits;
  }
}

template <class V>
inline typename V::Type invert(typename V::Type x) {
  return V::bit_xor(x, V::broadcast(~uint64_t{0}));
}

template <class V>
inline bool any(typename V::Type x) {
  if constexpr (requires { V::any(x); }) {
    return V::any(x);
  } else {
    int64_t words[V::kWide], all = 0;
    V::store(x, words);
    for (int i = 0; i < V::kWide; ++i) all |= words[i];
    return all != 0;
  }
}

// a + b + c, bit by bit: the sum, and the carry to the next plane.
template <class V>
inline typename V::Type add_bits(typename V::Type a, typename V::Type b, typename V::Type c, typename V::Type& carry) {
  if constexpr (requires { V::majority(a, b, c); }) {
    carry = V::majority(a, b, c);
    return V::bit_xor3(a, b, c);
  } else {
    const auto ab = V::bit_xor(a, b);
    carry = V::bit_or(V::bit_and(a, b), V::bit_and(ab, c));
    return V::bit_xor(ab, c);
  }
}

// Adds N bits of one weight; leaves N / 2 carries.
template <class V, int N>
inline __attribute__((always_inline)) typename V::Type add_all(const typename V::Type* bits,
                                                               typename V::Type* carries) {
  typename V::Type sum = bits[0];
#pragma GCC unroll 16
  for (int i = 1; i + 1 < N; i += 2) sum = add_bits<V>(sum, bits[i], bits[i + 1], carries[i / 2]);
  if constexpr (N % 2 == 0) {
    carries[N / 2 - 1] = V::bit_and(sum, bits[N - 1]);
    sum = V::bit_xor(sum, bits[N - 1]);
  }
  return sum;
}

// Three steps of a transposition of 64 x 64 bits: rows 0, step, 2 * step, ... 7 * step change places in bits 4 * step,
// 2 * step and step of their numbers with the same bits of a place in the row.
template <class V>
inline __attribute__((always_inline)) void transpose_steps(typename V::Type* rows, int step) {
  static constexpr uint64_t kMasks[] = {0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F,
                                        0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0x00000000FFFFFFFF};
#pragma GCC unroll 3
  for (int apart = 4; apart != 0; apart >>= 1) {
    const int shift = apart * step;
    const auto mask = V::broadcast(kMasks[__builtin_ctz(static_cast<unsigned>(shift))]);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      if ((i & apart) != 0) continue;
      auto& low = rows[i];
      auto& high = rows[i + apart];
      const auto swap = V::bit_and(V::bit_xor(shift_right<V>(low, shift), high), mask);
      high = V::bit_xor(high, swap);
      low = V::bit_xor(low, shift_left<V>(swap, shift));
    }
  }
}

template <class V>
void make_planes(const uint64_t* groups, int words, int64_t bits, Plane* planes) {
  for (int w = 0; w < words; ++w) {
    const int used = static_cast<int>(bits - 64 * w < 64 ? bits - 64 * w : 64);
    for (int at = 0; at < kPlaneWords; at += V::kWide) {
      typename V::Type all[64], rows[8];
      const uint64_t* from = groups + (at / kLanes * 64 * words + w) * kLanes + at % kLanes;
      for (int i = 0; i < 8; ++i) {
        for (int j = 0; j < 8; ++j) rows[j] = V::load(from + (i + 8 * j) * words * kLanes);
        transpose_steps<V>(rows, 8);
        for (int j = 0; j < 8; ++j) all[i + 8 * j] = rows[j];
      }
      for (int i = 0; i < used; i += 8) {
        for (int j = 0; j < 8; ++j) rows[j] = all[i + j];
        transpose_steps<V>(rows, 1);
        for (int j = 0; j < 8 && i + j < used; ++j) store_plane<V>(planes[64 * w + i + j], at, rows[j]);
      }
    }
  }
}

template <class V>
void make_sums(const Plane* planes, int64_t triples, Plane* sums) {
  for (int64_t i = 0; i < triples; ++i, planes += 3, sums += kSumPlanes) {
    for (int at = 0; at < kPlaneWords; at += V::kWide) {
      const auto a = load_plane<V>(planes[0], at), b = load_plane<V>(planes[1], at), c = load_plane<V>(planes[2], at);
      typename V::Type high[4];
      const auto low = add_bits<V>(a, b, c, high[0]);
      add_bits<V>(invert<V>(a), b, c, high[1]);
      add_bits<V>(a, invert<V>(b), c, high[2]);
      add_bits<V>(invert<V>(a), invert<V>(b), c, high[3]);
      store_plane<V>(sums[0], at, low);
      store_plane<V>(sums[1], at, invert<V>(low));
      for (int p = 0; p < 4; ++p) {  // inverting all three inverts the high bit
        store_plane<V>(sums[2 + p], at, high[p]);
        store_plane<V>(sums[9 - p], at, invert<V>(high[p]));
      }
    }
  }
}

// The differing bits of kChunkTriples triples, 33 at most, as a number of six planes.
template <class V>
inline __attribute__((always_inline)) void add_chunk(const uint8_t* sums, const uint16_t* places, int at,
                                                     typename V::Type* sum) {
  const auto load = [&](int i) { return V::load(reinterpret_cast<const uint64_t*>(sums + places[i]) + at); };
  typename V::Type ones[kChunkTriples], twos[kChunkTriples + 5], fours[8], eights[4], sixteens[2];
#pragma GCC unroll 16
  for (int i = 0; i < kChunkTriples; ++i) ones[i] = load(2 * i);
#pragma GCC unroll 16
  for (int i = 0; i < kChunkTriples; ++i) twos[i] = load(2 * i + 1);
  sum[0] = add_all<V, kChunkTriples>(ones, twos + kChunkTriples);
  sum[1] = add_all<V, kChunkTriples + 5>(twos, fours);
  sum[2] = add_all<V, 8>(fours, eights);
  sum[3] = add_all<V, 4>(eights, sixteens);
  sum[4] = add_all<V, 2>(sixteens, sum + 5);
}

// Two chunks (or one) are added in registers.
template <class V>
inline void add_distance(const Plane* sums, const uint16_t* places, int chunks, bool first, int planes,
                         Plane* distance) {
  for (int at = 0; at < kPlaneWords; at += V::kWide) {
    typename V::Type sum[kLeastPlanes], more[6];
    add_chunk<V>(reinterpret_cast<const uint8_t*>(sums), places, at, sum);
    sum[6] = V::zero();
    if (chunks == 2) {
      add_chunk<V>(reinterpret_cast<const uint8_t*>(sums), places + 2 * kChunkTriples, at, more);
#pragma GCC unroll 6
      for (int p = 0; p < 6; ++p) sum[p] = add_bits<V>(sum[p], more[p], sum[6], sum[6]);
    }
    auto carry = V::zero();
#pragma GCC unroll 7
    for (int p = 0; p < kLeastPlanes; ++p) {
      if (!first) sum[p] = add_bits<V>(sum[p], load_plane<V>(distance[p], at), carry, carry);
      store_plane<V>(distance[p], at, sum[p]);
    }
    for (int p = kLeastPlanes; p < planes; ++p) {
      const auto old = first ? V::zero() : load_plane<V>(distance[p], at);
      store_plane<V>(distance[p], at, V::bit_xor(old, carry));
      carry = V::bit_and(old, carry);
    }
  }
}

template <class V>
void add_distances(const Plane* sums, const uint16_t* places, int64_t places_apart, int queries, int chunks, bool first,
                   int planes, Plane* distances) {
  for (int q = 0; q < queries; ++q) {
    add_distance<V>(sums, places + q * places_apart, chunks, first, planes, distances + q * planes);
  }
}

template <class V>
int split_by_relevance(const Plane* labels, const uint32_t* own, int64_t count, const Plane& valid, Plane* masks,
                       uint32_t* channels) {
  auto some = V::zero();
  for (int at = 0; at < kPlaneWords; at += V::kWide) {
    auto shared = V::zero();
    for (int64_t i = 0; i < count; ++i) shared = V::bit_or(shared, load_plane<V>(labels[own[i]], at));
    const auto all = load_plane<V>(valid, at);
    shared = V::bit_and(shared, all);
    some = V::bit_or(some, shared);
    store_plane<V>(masks[0], at, V::bit_xor(all, shared));
    store_plane<V>(masks[1], at, shared);
  }
  channels[0] = 0;
  channels[1] = 1;
  return any<V>(some) ? 2 : 1;
}

template <class V>
int split_by_overlap(const Plane* labels, const uint32_t* own, int64_t count, const Plane& valid, Plane* masks,
                     uint32_t* channels) {
  // How many labels a code shares, as a number of 17 planes at most.
  Plane numbers[17];
  int planes = 0;
  for (int64_t i = 0; i < count; ++i) {
    if ((i + 1) >> planes != 0) std::memset(&numbers[planes++], 0, sizeof(Plane));
    for (int at = 0; at < kPlaneWords; at += V::kWide) {
      auto carry = load_plane<V>(labels[own[i]], at);
      for (int p = 0; p < planes; ++p) {
        const auto old = load_plane<V>(numbers[p], at);
        store_plane<V>(numbers[p], at, V::bit_xor(old, carry));
        carry = V::bit_and(old, carry);
      }
    }
  }
  int found = 0;
  for (int64_t number = 0; number <= count; ++number) {
    auto some = V::zero();
    for (int at = 0; at < kPlaneWords; at += V::kWide) {
      auto equal = load_plane<V>(valid, at);
      for (int p = 0; p < planes; ++p) {
        const auto bit = load_plane<V>(numbers[p], at);
        equal = V::bit_and(equal, (number >> p & 1) != 0 ? bit : invert<V>(bit));
      }
      store_plane<V>(masks[found], at, equal);
      some = V::bit_or(some, equal);
    }
    channels[found] = static_cast<uint32_t>(number);
    found += any<V>(some);
  }
  return found;
}

// U registers of each plane at a time: what the counts cost beside the popcounts is shared by so many.
template <class V, int U>
struct Mask {
  using Type = typename V::Type;

  static Mask load(const Plane& plane, int at) {
    Mask mask;
    for (int u = 0; u < U; ++u) mask.parts[u] = load_plane<V>(plane, at + u * V::kWide);
    return mask;
  }
  Mask operator&(const Mask& other) const {
    Mask both;
    for (int u = 0; u < U; ++u) both.parts[u] = V::bit_and(parts[u], other.parts[u]);
    return both;
  }
  Mask operator~() const {
    Mask inverse;
    for (int u = 0; u < U; ++u) inverse.parts[u] = invert<V>(parts[u]);
    return inverse;
  }
  bool any() const {
    Type all = parts[0];
    for (int u = 1; u < U; ++u) all = V::bit_or(all, parts[u]);
    return cpu::any<V>(all);
  }
  // Bits, as many as are set, lane by lane.
  Type count() const {
    Type sum = V::partial(parts[0]);
    for (int u = 1; u < U; ++u) sum = V::add_partial(sum, V::partial(parts[u]));
    return V::finish(sum);
  }

  Type parts[U];
};

// Counts U registers of each plane by distance.
template <class V, int U>
class Tally {
  using Codes = Mask<V, U>;

 public:
  Tally(const Plane* distances, int at) : distances_(distances), at_(at) {
    low_[1] = plane(0);
    low_[2] = plane(1);
    low_[3] = low_[1] & low_[2];
    low_[4] = plane(2);
    low_[5] = low_[1] & low_[4];
    low_[6] = low_[2] & low_[4];
    low_[7] = low_[3] & low_[4];
    combine(plane(3), plane(4), middle_);
    combine(plane(5), plane(6), high_);
  }

  // Codes at less than 128.
  __attribute__((always_inline)) void count(const Codes& codes, Counters* counters) const {
    for (int h = 0; h < 4; ++h) {
      const Codes upper = codes & high_[h];
      if (!upper.any()) continue;
      for (int m = 0; m < 4; ++m) {
        const Codes node = upper & middle_[m];
        if (node.any()) add(node, counters + 4 * h + m);
      }
    }
  }

  // Codes at any distance below 1 << planes: splits them bit by bit, and leaves out what holds no code.
  void split_and_count(const Codes& codes, int planes, Counters* counters) const {
    Codes nodes[2][kMostNodes];
    int64_t firsts[2][kMostNodes];
    int now = 0, found = 1;
    nodes[0][0] = codes;
    firsts[0][0] = 0;
    for (int p = planes - 1; p >= kLeastPlanes; --p) {
      const Codes bit = plane(p), inverse = ~bit;
      const int then = 1 - now;
      int kept = 0;
      for (int i = 0; i < found; ++i) {
        for (int64_t one = 0; one < 2; ++one) {
          nodes[then][kept] = nodes[now][i] & (one != 0 ? bit : inverse);
          firsts[then][kept] = firsts[now][i] | one << p;
          kept += nodes[then][kept].any();
        }
      }
      now = then;
      found = kept;
    }
    for (int i = 0; i < found; ++i) count(nodes[now][i], counters + firsts[now][i] / 8);
  }

 private:
  static constexpr int kMostNodes = (65536 >> kLeastPlanes) + 1;

  Codes plane(int p) const { return Codes::load(distances_[p], at_); }
  static void combine(const Codes& a, const Codes& b, Codes* out) {
    out[0] = ~a & ~b;
    out[1] = a & ~b;
    out[2] = ~a & b;
    out[3] = a & b;
  }

  // Adds the codes of a mask to eight bins.
  __attribute__((always_inline)) void add(const Codes& mask, Counters* counters) const {
    typename V::Type fields[8];
    fields[0] = mask.count();
#pragma GCC unroll 8
    for (int i = 1; i < 8; ++i) fields[i] = (mask & low_[i]).count();
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const auto* f = fields + 4 * half;
      const auto packed = V::bit_or(V::bit_or(f[0], shift_left<V>(f[1], 16)),
                                    V::bit_or(shift_left<V>(f[2], 32), shift_left<V>(f[3], 48)));
      uint64_t* words = counters->words[half];
      V::store(V::add(V::load(words), packed), reinterpret_cast<int64_t*>(words));
    }
  }

  const Plane* distances_;
  int at_;
  Codes low_[8];  // [i]: the codes whose distance has at least the bits of i set
  Codes middle_[4], high_[4];
};

template <class V>
void tally(const Plane* distances, int planes, const Share* shares, int queries, int64_t stride) {
  constexpr int U = 2;
  for (int q = 0; q < queries; ++q, distances += planes) {
    const Share& share = shares[q];
    for (int at = 0; at < kPlaneWords; at += U * V::kWide) {
      const Tally<V, U> part(distances, at);
      for (int i = 0; i < share.count; ++i) {
        const auto codes = Mask<V, U>::load(share.masks[i], at);
        Counters* counters = share.counters + share.channels[i] * stride;
        if (planes == kLeastPlanes) {
          part.count(codes, counters);
        } else {
          part.split_and_count(codes, planes, counters);
        }
      }
    }
  }
}

}  // namespace
}  // namespace fasthash::cpu

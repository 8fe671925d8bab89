// The kernels, written once over a vector type `V`; each level source defines V and instantiates them.
//
// V holds V::kWide 64-bit lanes and offers load, broadcast, bit_xor, bit_and, bit_or, add (64-bit lanes), and
//   partial(x)    counts per lane in a form that may be summed up to 31 times with add_partial
//   finish(p)     that sum as 64-bit lanes
//   negative(x)   one bit a lane: lane < 0
//   store(x, p)   lanes to int64
//   interleave    eight rows to one group, or interleave_plain
//   kCompresses   whether there is compress_keys, which writes the keys of all hits at once
//
// Everything stands in an anonymous namespace: each level keeps its own copy, compiled with its own flags.
#pragma once

#include <cstdint>
#include <cstring>

#include "level.h"
#include "planes.h"

namespace fasthash::cpu {
namespace {

constexpr int kMostWordsOfPartial = 31;  // 31 * 8 bits fit a byte, which is how AVX2 and NEON keep partial sums

struct Xor {
  template <class V>
  static typename V::Type apply(typename V::Type a, typename V::Type b) {
    return V::bit_xor(a, b);
  }
};
struct And {
  template <class V>
  static typename V::Type apply(typename V::Type a, typename V::Type b) {
    return V::bit_and(a, b);
  }
};

// Bit counts of one query against V::kWide codes of a group.
template <class V, class Op>
inline typename V::Type count_lanes(const uint64_t* query, const uint64_t* group, int words) {
  typename V::Type sum = V::zero();
  for (int w = 0; w < words;) {
    const int end = words - w > kMostWordsOfPartial ? w + kMostWordsOfPartial : words;
    typename V::Type partial = V::zero();
    for (; w < end; ++w) {
      const auto bits = Op::template apply<V>(V::load(group + w * kLanes), V::broadcast(query[w]));
      partial = V::add_partial(partial, V::partial(bits));
    }
    sum = V::add(sum, V::finish(partial));
  }
  return sum;
}

template <class V, class Op>
void count_block(const uint64_t* query, const Block& block, int words, uint16_t* out) {
  const int64_t groups = (block.codes + kLanes - 1) / kLanes;
  for (int64_t g = 0; g < groups; ++g) {
    for (int half = 0; half < kLanes; half += V::kWide) {
      const auto sum = count_lanes<V, Op>(query, block.groups + g * words * kLanes + half, words);
      V::store_u16(sum, out + g * kLanes + half);
    }
  }
}

// Takes the codes of a group that lie below a query's threshold: the lanes of `hits`, whose distance - threshold stands
// in `below`. True when the threshold was lowered.
template <class V>
inline bool append(Selection& selection, uint32_t hits, const int64_t* below, const Block& block, int64_t position) {
  if constexpr (V::kCompresses) {
    const bool plain = block.indices == nullptr && selection.exclude < 0 && position + V::kWide <= block.codes;
    if (plain && selection.capacity - selection.size >= V::kWide) {
      V::compress_keys(selection.keys + selection.size, hits, below, selection.threshold, block.first + position);
      selection.size += __builtin_popcount(hits);
      return false;
    }
  }
  const int64_t threshold = selection.threshold;
  for (; hits != 0; hits &= hits - 1) {
    const int lane = __builtin_ctz(hits);
    if (position + lane >= block.codes) break;
    const int64_t index = block.indices != nullptr ? block.indices[position + lane] : block.first + position + lane;
    const int64_t distance = below[lane] + threshold;
    // make_room may have lowered the threshold since the hit was seen.
    if (index == selection.exclude || distance >= selection.threshold) continue;
    if (selection.size == selection.capacity) {
      selection.make_room(&selection);
      if (distance >= selection.threshold) continue;
    }
    selection.keys[selection.size++] = static_cast<uint64_t>(distance) << 48 | static_cast<uint64_t>(index);
  }
  return selection.threshold != threshold;
}

// Q queries in registers, with their words where W, the words of a code, is known at compile time (else W = 0).
template <class V, int Q, int W>
struct QueryBlock {
  using Type = typename V::Type;

  QueryBlock(const uint64_t* queries, int words, const Selection* selections)
      : queries(queries), words(W != 0 ? W : words) {
    for (int q = 0; q < Q; ++q) {
      for (int w = 0; w < W; ++w) held[q][w] = V::broadcast(queries[q * W + w]);
    }
    read_thresholds(selections);
  }

  void read_thresholds(const Selection* selections) {
    for (int q = 0; q < Q; ++q) bias[q] = V::broadcast(static_cast<uint64_t>(-selections[q].threshold));
  }

  // sum[q] = distance - threshold, lane by lane, so that a code to take is a negative lane.
  __attribute__((always_inline)) void sums(const Block& block, int64_t position, Type* sum) const {
    const uint64_t* group = block.groups + position / kLanes * words * kLanes + position % kLanes;
    if constexpr (W != 0) {
      for (int q = 0; q < Q; ++q) sum[q] = V::zero();
      for (int w = 0; w < W; ++w) {
        const Type code = V::load(group + w * kLanes);
        for (int q = 0; q < Q; ++q) sum[q] = V::add_partial(sum[q], V::partial(V::bit_xor(code, held[q][w])));
      }
      for (int q = 0; q < Q; ++q) sum[q] = V::add(bias[q], V::finish(sum[q]));
    } else {
      for (int q = 0; q < Q; ++q) sum[q] = bias[q];
      for (int w = 0; w < words;) {
        const int end = words - w > kMostWordsOfPartial ? w + kMostWordsOfPartial : words;
        Type partial[Q];
        for (int q = 0; q < Q; ++q) partial[q] = V::zero();
        for (; w < end; ++w) {
          const Type code = V::load(group + w * kLanes);
          for (int q = 0; q < Q; ++q) {
            const Type bits = V::bit_xor(code, V::broadcast(queries[q * words + w]));
            partial[q] = V::add_partial(partial[q], V::partial(bits));
          }
        }
        for (int q = 0; q < Q; ++q) sum[q] = V::add(sum[q], V::finish(partial[q]));
      }
    }
  }

  const uint64_t* queries;
  int words;
  Type bias[Q];
  Type held[Q][W != 0 ? W : 1];
};

// Two passes over a block. The first only notes where any query has a hit, one OR of sign bits for Q * V::kWide pairs,
// and does so without a branch: hits come at random, and a wrong guess costs more than the second look. The second
// counts those places again and takes the codes.
template <class V, int Q, int W>
void scan_queries(const uint64_t* queries, const Block& block, int words, Selection* selections) {
  static_assert(Q * V::kWide <= 64);
  QueryBlock<V, Q, W> held(queries, words, selections);
  uint16_t places[kMostCodes / V::kWide];
  int count = 0;
  for (int64_t position = 0; position < block.codes; position += V::kWide) {
    typename V::Type sum[Q];
    held.sums(block, position, sum);
    typename V::Type any = sum[0];
    for (int q = 1; q < Q; ++q) any = V::bit_or(any, sum[q]);
    places[count] = static_cast<uint16_t>(position);
    count += V::negative(any) != 0;
  }
  for (int i = 0; i < count; ++i) {
    typename V::Type sum[Q];
    held.sums(block, places[i], sum);
    int64_t below[Q][V::kWide];
    uint64_t hits = 0;
    for (int q = 0; q < Q; ++q) {
      V::store(sum[q], below[q]);
      hits |= uint64_t{V::negative(sum[q])} << q * V::kWide;
    }
    constexpr uint64_t kOne = (uint64_t{1} << V::kWide) - 1;
    bool lowered = false;
    while (hits != 0) {
      const int q = __builtin_ctzll(hits) / V::kWide;
      const auto own = static_cast<uint32_t>(hits >> q * V::kWide & kOne);
      lowered |= append<V>(selections[q], own, below[q], block, places[i]);
      hits &= ~(kOne << q * V::kWide);
    }
    if (lowered) held.read_thresholds(selections);
  }
}

template <class V, int W>
void scan_words(const uint64_t* queries, int count, const Block& block, int words, Selection* selections) {
  constexpr int kQueries = V::queries_at_once(W);
  int q = 0;
  for (; q + kQueries <= count; q += kQueries) {
    scan_queries<V, kQueries, W>(queries + q * words, block, words, selections + q);
  }
  for (; q < count; ++q) scan_queries<V, 1, W>(queries + q * words, block, words, selections + q);
}

template <class V>
void scan(const uint64_t* queries, int count, const Block& block, int words, Selection* selections) {
  switch (words) {
    case 1:
      return scan_words<V, 1>(queries, count, block, words, selections);
    case 2:
      return scan_words<V, 2>(queries, count, block, words, selections);
    case 3:
      return scan_words<V, 3>(queries, count, block, words, selections);
    case 4:
      return scan_words<V, 4>(queries, count, block, words, selections);
    default:
      return scan_words<V, 0>(queries, count, block, words, selections);
  }
}

template <class T>
inline T load_as(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// The first 1..7 bytes as a word, by loads that overlap instead of a loop.
inline uint64_t partial_word(const uint8_t* bytes, int64_t count) {
  if (count >= 4) return load_as<uint32_t>(bytes) | uint64_t{load_as<uint32_t>(bytes + count - 4)} << 8 * (count - 4);
  if (count >= 2) return load_as<uint16_t>(bytes) | uint64_t{load_as<uint16_t>(bytes + count - 2)} << 8 * (count - 2);
  return bytes[0];
}

inline void interleave_plain(const uint8_t* const* rows, int64_t bytes, uint64_t* group) {
  const int64_t whole = bytes / 8;
  for (int lane = 0; lane < kLanes; ++lane) {
    for (int64_t w = 0; w < whole; ++w) group[w * kLanes + lane] = load_as<uint64_t>(rows[lane] + 8 * w);
    if (bytes % 8 != 0) group[whole * kLanes + lane] = partial_word(rows[lane] + 8 * whole, bytes % 8);
  }
}

inline int64_t count_at_most(const uint16_t* values, int64_t count, uint16_t most) {
  int64_t result = 0;
  for (int64_t i = 0; i < count;) {
    const int64_t end = count - i > 32768 ? i + 32768 : count;
    uint16_t part = 0;  // 16 bits, so that the compiler keeps whole registers of them
    for (; i < end; ++i) part = static_cast<uint16_t>(part + (values[i] <= most));
    result += part;
  }
  return result;
}

inline void widen(const uint16_t* in, int64_t count, int32_t* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = in[i];
}

// value - 1 < limit, element by element.
template <class T>
inline uint64_t sign_word_plain(const T* row, int64_t limit) {
  uint64_t word = 0;
  for (int i = 0; i < 64; ++i) {
    word |= static_cast<uint64_t>(static_cast<T>(row[i] - 1) < static_cast<T>(limit)) << i;
  }
  return word;
}

inline void unpack_bytes(const uint8_t* codes, int64_t bytes, float* out) {
  for (int64_t i = 0; i < bytes; ++i) {
    for (int bit = 0; bit < 8; ++bit) out[8 * i + bit] = (codes[i] >> (7 - bit) & 1) != 0 ? 1.0f : -1.0f;
  }
}

template <class V>
void sign_words(const void* row, int width, int64_t limit, int64_t words, uint64_t* out) {
  const auto* bytes = static_cast<const uint8_t*>(row);
  for (int64_t w = 0; w < words; ++w, bytes += 64 * width) {
    switch (width) {
      case 1:
        out[w] = V::template sign_word<uint8_t>(bytes, limit);
        break;
      case 2:
        out[w] = V::template sign_word<uint16_t>(bytes, limit);
        break;
      case 4:
        out[w] = V::template sign_word<uint32_t>(bytes, limit);
        break;
      default:
        out[w] = V::template sign_word<uint64_t>(bytes, limit);
        break;
    }
  }
}

}  // namespace

// Defines the exported table of a level source.
#define FASTHASH_DEFINE_LEVEL(VARIABLE, NAME, COMPILED_FOR, V)                                                        \
  const Level VARIABLE = {NAME,           COMPILED_FOR, V::interleave,    count_block<V, Xor>,   count_block<V, And>, \
                          count_at_most,  scan<V>,      sign_words<V>,    unpack_bytes,          widen,               \
                          make_planes<V>, make_sums<V>, add_distances<V>, split_by_relevance<V>, split_by_overlap<V>, \
                          tally<V>}

}  // namespace fasthash::cpu

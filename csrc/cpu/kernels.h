// SPDX-License-Identifier: Apache-2.0
// The kernels, written once over a vector type `V`; each level source defines V and instantiates them.
//
// V holds V::kWide 64-bit lanes and offers load, broadcast, bit_xor, bit_and, bit_or, add (64-bit lanes), and
//   partial(x)    counts per lane in a form that may be summed up to 31 times with add_partial
//   finish(p)     that sum as 64-bit lanes
//   negative(x)   one bit a lane: lane < 0
//   store(x, p)   lanes to signed integers
//   interleave    eight rows to one group, or interleave_plain
//
// Everything stands in an anonymous namespace: each level keeps its own copy, compiled with its own flags.
#pragma once

#include <cstdint>
#include <cstring>

#include "level.h"
#include "planes.h"

namespace fasthash::cpu {
namespace {

constexpr int kPrefetchBytes = 4096;  // the processor's own prefetch ends at a page

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

template <class V>
void interleave_run(const uint8_t* rows, int64_t groups, int64_t bytes, uint64_t* out) {
  for (int64_t g = 0; g < groups; ++g, rows += kLanes * bytes, out += (bytes + 7) / 8 * kLanes) {
    for (int64_t line = 0; line < kLanes * bytes; line += 64) __builtin_prefetch(rows + kPrefetchBytes + line);
    const uint8_t* group[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) group[lane] = rows + lane * bytes;
    V::interleave(group, bytes, out);
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
    for (int line = 0; line < width; ++line) __builtin_prefetch(bytes + kPrefetchBytes + 64 * line);
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

// Defines the exported table of a level source, which includes the other kernels. V::Narrow has lanes of 32 bits.
// clang-format off
#define FASTHASH_DEFINE_LEVEL(VARIABLE, NAME, COMPILED_FOR, V) \
  const Level VARIABLE = {                                     \
      .name = NAME,                                            \
      .compiled_for = COMPILED_FOR,                            \
      .interleave = V::interleave,                             \
      .interleave_run = interleave_run<V>,                     \
      .distances = count_block<V, Xor>,                        \
      .distance_rows = matrix<V, Xor>,                         \
      .overlap_rows = matrix<V, And>,                          \
      .overlaps = count_block<V, And>,                         \
      .count_at_most = count_at_most,                          \
      .scan = scan<V>,                                         \
      .scan_narrow = scan_narrow<V::Narrow>,                   \
      .sign_words = sign_words<V>,                             \
      .unpack_bytes = unpack_bytes,                            \
      .score_rows = score_rows<V>,                             \
      .make_planes = make_planes<V>,                           \
      .make_sums = make_sums<V>,                               \
      .add_distances = add_distances<V>,                       \
      .split_by_relevance = split_by_relevance<V>,             \
      .split_by_overlap = split_by_overlap<V>,                 \
      .tally = tally<V>,                                       \
  }
// clang-format on

}  // namespace fasthash::cpu

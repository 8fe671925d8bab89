// SPDX-License-Identifier: Apache-2.0
// What one CPU level offers, and what it is asked with. Plain data only: level sources share no inline
// function with the rest, since the linker may keep the copy of the highest level for everyone.
#pragma once

#include <cstdint>

#include "fasthash/score.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "byte i of a code is taken to be bits 8 * i and up of a word: little-endian machines only"
#endif

namespace fasthash::cpu {

// Codes are met in groups of eight, word by word: group g holds word w of its eight codes at groups[(g *
// words + w) * 8].
inline constexpr int kLanes = 8;
inline constexpr int kNarrowLanes = 16;
inline constexpr int kNarrowBytes = 4;              // the widest code of a narrow block
inline constexpr int kBlockBytes = 1 << 15;         // of codes: fits the L1 cache
inline constexpr int kMostCodes = kBlockBytes / 8;  // of a block
inline constexpr int kScoreRows = 4;                // documents that a query meets at once

// Counting works on slices of 1,024 codes, turned into bit planes: bit i % 64 of word i / 64 is that of code i.
inline constexpr int kPlaneWords = 16;
inline constexpr int kSliceCodes = 64 * kPlaneWords;
struct alignas(64) Plane {
  uint64_t words[kPlaneWords];
};
// Each query adds up the planes, those inverted in which it has a one itself. Three at a time are added beforehand,
// once for all queries, to kSumPlanes planes: the low bit of a + b + c and its inverse, then the high bit for each of
// the eight ways to invert a (1), b (2) and c (4).
inline constexpr int kSumPlanes = 10;
inline constexpr int kChunkTriples = 11;  // what a query adds in one go
// Eight bins, in fields of 16 bits whose sum over the lanes counts: field i % 4 of words[i / 4] the codes whose
// distance has at least the bits of i set. So the fields hold 65,535 codes in all.
struct alignas(64) Counters {
  uint64_t words[2][kLanes];
};
// What a query counts of a slice: the codes of each mask in the counters of its channel.
struct Share {
  const Plane* masks;
  const uint32_t* channels;
  int count;
  Counters* counters;
};
inline constexpr int kLeastPlanes = 7;  // of distances, however short the code
inline constexpr int kSlicesCounted = 65535 / kSliceCodes;

// One query's candidates during a scan in index order.
struct Selection {
  uint64_t* keys;  // distance << 48 | index, in the order of the scan
  int64_t size;
  int64_t capacity;               // at least size + 1 whenever a scan begins
  int64_t threshold;              // a code is taken when distance < threshold
  int64_t exclude;                // one index never taken, -1 = none
  void (*make_room)(Selection*);  // called when size == capacity: prunes (and lowers threshold) or grows
  void* owner;
};

// A run of interleaved codes.
struct Block {
  const uint64_t* groups;
  int64_t codes;                     // the last group may be partly padding
  int64_t first;                     // index of the first code
  const int64_t* indices = nullptr;  // index of each code, or null: first, first + 1, ...
  const uint8_t* next = nullptr;     // rows that will be read after this block, to be prefetched
  int64_t next_bytes = 0;
};

struct Level {
  const char* name;
  const char* compiled_for;  // instruction sets that the compiler had for this source

  // Eight rows of `bytes` > 8 bytes -> one group; the bytes behind a row are neither read nor taken.
  void (*interleave)(const uint8_t* const* rows, int64_t bytes, uint64_t* group);
  // The same of `groups` times eight rows that follow one another.
  void (*interleave_run)(const uint8_t* rows, int64_t groups, int64_t bytes, uint64_t* out);
  // out[i] = popcount(query ^ code i), all groups in full (out has room for them).
  void (*distances)(const uint64_t* query, const Block& block, int words, uint16_t* out);
  // out[q * stride + i] = popcount(query q ^ code i), for the codes alone. queries: (count, words).
  void (*distance_rows)(const uint64_t* queries, int count, const Block& block, int words, int32_t* out,
                        int64_t stride);
  // The same of query & code.
  void (*overlap_rows)(const uint64_t* queries, int count, const Block& block, int words, int32_t* out, int64_t stride);
  // out[i] = popcount(query & code i).
  void (*overlaps)(const uint64_t* query, const Block& block, int words, uint16_t* out);
  // How many of the values are at most `most`.
  int64_t (*count_at_most)(const uint16_t* values, int64_t count, uint16_t most);
  // Appends to each query's selection the codes below its threshold. queries: (count, words).
  void (*scan)(const uint64_t* queries, int count, const Block& block, int words, Selection* selections);
  // The same for narrow blocks.
  void (*scan_narrow)(const uint32_t* queries, int count, const Block& block, Selection* selections);
  // 64 elements -> 64 bits, element 0 lowest: value - 1 < limit as unsigned integers of `width` bytes.
  // Handles bits / 64 full words of a row.
  void (*sign_words)(const void* row, int width, int64_t limit, int64_t words, uint64_t* out);
  // bytes / 8 -> floats of -1 and +1, most significant bit first.
  void (*unpack_bytes)(const uint8_t* codes, int64_t bytes, float* out);
  // Scores of kScoreRows rows, in the order of score.h. The query is padded with zeros to whole sixteens; for signs it
  // is negated, and element i stands at i ^ 7, as the bits of a byte do.
  void (*score_rows)(const float* query, const uint8_t* const* rows, Values values, int64_t dim, float* scores);

  // A slice: group i holds the codes i, 64 + i, ... 448 + i, group 64 + i those 512 further on. Makes the first `bits`
  // planes.
  void (*make_planes)(const uint64_t* groups, int words, int64_t bits, Plane* planes);
  void (*make_sums)(const Plane* planes, int64_t triples, Plane* sums);
  // Adds `chunks` times kChunkTriples triples to the distances of some queries, each of so many planes, kLeastPlanes or
  // more (or sets them, if it is the first time). places: in bytes from `sums`, a low bit and a high bit for each
  // triple.
  void (*add_distances)(const Plane* sums, const uint16_t* places, int64_t places_apart, int queries, int chunks,
                        bool first, int planes, Plane* distances);
  // Tells the valid codes apart by the labels that they share with a query, which has `count` of them: own[i] names a
  // plane of `labels`. By relevance: channel 0 shares none; by overlap: as many as the channel says. Returns the number
  // of masks, each the codes of the channel of the same place.
  int (*split_by_relevance)(const Plane* labels, const uint32_t* own, int64_t count, const Plane& valid, Plane* masks,
                            uint32_t* channels);
  int (*split_by_overlap)(const Plane* labels, const uint32_t* own, int64_t count, const Plane& valid, Plane* masks,
                          uint32_t* channels);
  // Counts by distance: that of a code is found in counters[channel * stride + distance / 8].
  void (*tally)(const Plane* distances, int planes, const Share* shares, int queries, int64_t stride);
};

extern const Level scalar_level;
extern const Level avx2_level;
extern const Level avx512_level;
extern const Level neon_level;

}  // namespace fasthash::cpu

// SPDX-License-Identifier: Apache-2.0
// Lists of candidates, one a query: what a scan takes on the way to the k nearest.
//
// A key is distance << 48 | row, so keys stand in the order of results. A scan appends the keys up to the query's
// bound, in whatever order its warps come; `order` sorts them. A bound is a guess from a sample, never a promise:
// whether it let k codes through, and the list held them all, is seen at the end, and `answered` says so.
#pragma once

#include "table.cuh"

namespace fasthash::cuda {

constexpr int kRowBits = 48;
constexpr uint64_t kNoBound = ~uint64_t{0};

__host__ __device__ inline uint64_t key_of(int64_t distance, int64_t row) {
  return static_cast<uint64_t>(distance) << kRowBits | static_cast<uint64_t>(row);
}
__host__ __device__ inline int distance_of(uint64_t key) {
  return static_cast<int>(key >> kRowBits);
}
__host__ __device__ inline int64_t row_of(uint64_t key) {
  return static_cast<int64_t>(key & ((uint64_t{1} << kRowBits) - 1));
}

struct Candidates {
  int64_t capacity;            // of a list
  uint64_t* keys;              // (queries, capacity)
  unsigned long long* counts;  // (queries,): how many were offered, which may be more than the list holds
  uint64_t* bounds;            // (queries,): the largest key to take
  int32_t* answered;           // (queries,): 1 = the results stand, 0 = not proven
};

// Puts a key at a place that the count of the list gave out.
__device__ inline void put(const Candidates& candidates, int64_t query, uint64_t key, unsigned long long place) {
  if (place < static_cast<unsigned long long>(candidates.capacity)) {
    candidates.keys[query * candidates.capacity + static_cast<int64_t>(place)] = key;
  }
}
__device__ inline void append(const Candidates& candidates, int64_t query, uint64_t key) {
  put(candidates, query, key, atomicAdd(&candidates.counts[query], 1ull));
}
// The keys of the lanes that want it; by whole warps, with one query.
__device__ inline void append_by_warp(const Candidates& candidates, int64_t query, uint64_t key, bool wanted) {
  const unsigned takers = __ballot_sync(kWholeWarp, wanted);
  if (takers == 0) return;
  const int leader = __ffs(static_cast<int>(takers)) - 1;
  unsigned long long first = 0;
  if (lane_index() == leader) {
    first = atomicAdd(&candidates.counts[query], static_cast<unsigned long long>(__popc(takers)));
  }
  first = __shfl_sync(kWholeWarp, first, leader);
  if (wanted) put(candidates, query, key, first + __popc(takers & lanes_below(lane_index())));
}

// The database rows 0, step, 2 * step, ... side by side: `rows` of them; and their mask, where there is one.
void gather_sample(const char* op, Codes database, const uint8_t* mask, int64_t step, int64_t rows, uint8_t* codes,
                   uint8_t* sampled_mask, StreamHandle stream);

// Empty lists; bounds from the last of the `rank` nearest codes of the sample (queries, rank).
void begin_lists(const char* op, const Candidates& candidates, int64_t queries, const int32_t* distances,
                 const int64_t* indices, int64_t rank, int64_t step, StreamHandle stream);

// Puts the lists in order and cuts them, and their bounds, to `rank` keys.
void tighten(const char* op, const Candidates& candidates, int64_t queries, int64_t rank, StreamHandle stream);

// Puts the lists in order and writes the k nearest of those that are proven to hold them.
void write_lists(const char* op, const Candidates& candidates, int64_t queries, int64_t k, int32_t* distances,
                 int64_t* indices, StreamHandle stream);

// Which rows a scan meets: all, or one of each kShare, or all but those. (Not runs of rows: neighbours are often alike,
// and a share of them should look like the whole.)
enum class Share { kAll, kFew, kRest };
constexpr int64_t kShare = 8;

// Append to the lists of their queries what is within the bounds, of the rows that may be met.
void filter_by_popcount(const char* op, Codes queries, Codes database, Filter filter, const Candidates& candidates,
                        StreamHandle stream);
// Codes of at most kTensorBytes; on sm_80 to sm_90.
constexpr int64_t kTensorBytes = 128;
void filter_by_tensor(const char* op, Codes queries, Codes database, Filter filter, Share share,
                      const Candidates& candidates, StreamHandle stream);

}  // namespace fasthash::cuda

// SPDX-License-Identifier: Apache-2.0
// Nearest codes: the k nearest, or all within a radius. Order: distance, then lower index.
#pragma once

#include <memory>

#include "fasthash/types.h"

namespace fasthash {

namespace cpu {

// distances, indices: (queries.rows, k); places without a code hold kNoDistance and kNoIndex.
void hamming_topk(Codes queries, Codes database, int64_t k, Filter filter, int32_t* distances, int64_t* indices,
                  int threads);

// The codes within a radius (inclusive), kept until the caller has allocated the outputs.
class RangeResult {
 public:
  virtual ~RangeResult() = default;
  // counts (queries.rows,): how many codes each query found.
  virtual void counts(int64_t* counts) const = 0;
  // Writes query i from place offsets[i] on, at most offsets[i + 1] - offsets[i] codes.
  virtual void write(const int64_t* offsets, int32_t* distances, int64_t* indices, int threads) const = 0;
};
std::unique_ptr<RangeResult> hamming_range(Codes queries, Codes database, int64_t radius, Filter filter, int threads);
// distances, indices: (queries.rows, capacity), the first codes within the radius, as in hamming_topk; counts
// (queries.rows,): all of them.
void hamming_range_padded(Codes queries, Codes database, int64_t radius, int64_t capacity, Filter filter,
                          int64_t* counts, int32_t* distances, int64_t* indices, int threads);

}  // namespace cpu

namespace cuda {

// Device memory, in bytes, that a call needs; the caller allocates it.
int64_t topk_workspace(int64_t queries, int64_t database, int64_t bytes, int64_t k);
void hamming_topk(Codes queries, Codes database, int64_t k, Filter filter, int32_t* distances, int64_t* indices,
                  void* workspace, int64_t workspace_bytes, StreamHandle stream);

// Range search in two calls around the caller's allocation: counts (queries.rows,) first, then the codes;
// both with the same workspace, which carries the places from one to the other.
int64_t range_workspace(int64_t queries, int64_t database, int64_t bytes, int64_t radius);
void hamming_range_count(Codes queries, Codes database, int64_t radius, Filter filter, int64_t* counts, void* workspace,
                         int64_t workspace_bytes, StreamHandle stream);
// Writes query i from place offsets[i] on (device memory, queries.rows + 1), never past offsets[i + 1].
void hamming_range_write(Codes queries, Codes database, int64_t radius, Filter filter, const int64_t* offsets,
                         int32_t* distances, int64_t* indices, void* workspace, int64_t workspace_bytes,
                         StreamHandle stream);
// One call, with the workspace of a range search.
void hamming_range_padded(Codes queries, Codes database, int64_t radius, int64_t capacity, Filter filter,
                          int64_t* counts, int32_t* distances, int64_t* indices, void* workspace,
                          int64_t workspace_bytes, StreamHandle stream);

}  // namespace cuda

}  // namespace fasthash

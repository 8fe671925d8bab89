// SPDX-License-Identifier: Apache-2.0
// Rescoring: the second stage of a search, float queries against the few documents that the first stage named.
//
// The order of every sum is fixed. Sixteen partial sums: number j adds the products of elements j, j + 16, j + 32, ...
// one after the other; then 8 are left by adding number j + 8 to number j, then 4, 2 and 1. Each product and each sum
// is rounded to float by itself (no fused multiply-add). All CPU levels and CUDA keep to that order, so that a score is
// the same bit for bit wherever it is made.
#pragma once

#include "fasthash/types.h"

namespace fasthash {

// The score of a place without a document.
inline constexpr float kNoScore = -std::numeric_limits<float>::infinity();

// What the rows of the documents hold. Signs are packed codes: a bit of 1 is +1, one of 0 is -1.
enum class Values : int { kSigns, kInt8, kFloat16, kBfloat16, kFloat32, kFloat64 };
inline constexpr int kValues = 6;

struct Documents {
  const void* data;
  Values values;
  int64_t rows;
  int64_t row_stride;  // in bytes; elements of a row lie side by side
  const float* scale;  // one factor a row, or null
};

// Query rows of `dim` floats, each with `count` candidates: rows of the documents, anything else = none.
struct Rescoring {
  const float* queries;
  int64_t rows;
  int64_t dim;
  const int64_t* candidates;
  int64_t count;
};

namespace cpu {
// What a caller may want to refuse, seen on the way, as bits; no score shows it.
inline constexpr int kSpareBits = 1;  // a candidate has a bit set behind bit `dim` of its code
inline constexpr int kNoRow = 2;      // a candidate is neither -1 nor a row

// scores (rows, count); returns what was seen.
int rescore(const Rescoring& rescoring, const Documents& documents, float* scores, int threads);
// order (rows, k), k <= count: places of the k best of each row's scores (rows, count), by higher score, then lower
// candidate, then place. NaN counts as minus infinity; negative candidates come last.
void score_order(const float* scores, const int64_t* candidates, int64_t rows, int64_t count, int64_t k, int64_t* order,
                 int threads);
}  // namespace cpu

namespace cuda {
void rescore(const Rescoring& rescoring, const Documents& documents, float* scores, StreamHandle stream);
}  // namespace cuda

}  // namespace fasthash

// SPDX-License-Identifier: Apache-2.0
// Counts of every pair of a few queries and a block, written once over a vector type.
#pragma once

#include "query_block.h"

namespace fasthash::cpu {
namespace {

template <class V, class Op, int Q, int W>
void matrix_queries(const uint64_t* queries, const Block& block, int words, int32_t* out, int64_t stride) {
  const QueryBlock<V, Op, Q, W> held(queries, words);
  typename V::Type sum[Q];
  int64_t position = 0;
  for (; position + V::kWide <= block.codes; position += V::kWide) {
    held.sums(block, position, sum);
    for (int q = 0; q < Q; ++q) V::store_i32(sum[q], out + q * stride + position);
  }
  if (position == block.codes) return;
  held.sums(block, position, sum);
  for (int q = 0; q < Q; ++q) {
    int32_t last[V::kWide];
    V::store_i32(sum[q], last);
    std::memcpy(out + q * stride + position, last, static_cast<size_t>(block.codes - position) * sizeof *last);
  }
}

template <class V, class Op, int W, int Q>
void matrix_words(const uint64_t* queries, int count, const Block& block, int words, int32_t* out, int64_t stride) {
  int done = 0;
  for (; done + Q <= count; done += Q) {
    matrix_queries<V, Op, Q, W>(queries + done * words, block, words, out + done * stride, stride);
  }
  if constexpr (Q > 1) {
    matrix_words<V, Op, W, Q / 2>(queries + done * words, count - done, block, words, out + done * stride, stride);
  }
}

template <class V, class Op>
void matrix(const uint64_t* queries, int count, const Block& block, int words, int32_t* out, int64_t stride) {
  switch (words) {
    case 1:
      return matrix_words<V, Op, 1, V::queries_at_once(1)>(queries, count, block, words, out, stride);
    case 2:
      return matrix_words<V, Op, 2, V::queries_at_once(2)>(queries, count, block, words, out, stride);
    case 4:
      return matrix_words<V, Op, 4, V::queries_at_once(4)>(queries, count, block, words, out, stride);
    default:
      return matrix_words<V, Op, 0, V::queries_at_once(0)>(queries, count, block, words, out, stride);
  }
}

}  // namespace
}  // namespace fasthash::cpu

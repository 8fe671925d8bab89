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

template <class V, class Op, int W>
void matrix_words(const uint64_t* queries, int count, const Block& block, int words, int32_t* out, int64_t stride) {
  constexpr int kQueries = V::queries_at_once(W);
  int q = 0;
  for (; q + kQueries <= count; q += kQueries) {
    matrix_queries<V, Op, kQueries, W>(queries + q * words, block, words, out + q * stride, stride);
  }
  for (; q < count; ++q) matrix_queries<V, Op, 1, W>(queries + q * words, block, words, out + q * stride, stride);
}

template <class V, class Op>
void matrix(const uint64_t* queries, int count, const Block& block, int words, int32_t* out, int64_t stride) {
  switch (words) {
    case 1:
      return matrix_words<V, Op, 1>(queries, count, block, words, out, stride);
    case 2:
      return matrix_words<V, Op, 2>(queries, count, block, words, out, stride);
    case 4:
      return matrix_words<V, Op, 4>(queries, count, block, words, out, stride);
    default:
      return matrix_words<V, Op, 0>(queries, count, block, words, out, stride);
  }
}

}  // namespace
}  // namespace fasthash::cpu

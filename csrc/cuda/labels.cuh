// SPDX-License-Identifier: Apache-2.0
// Relevance of a database row to a query: the same class, or a shared label; and how many they share.
#pragma once

#include "scan.cuh"

namespace fasthash::cuda {

// Class ids, or, when both are null, packed label sets.
struct Relevance {
  const int64_t* query_ids;
  const int64_t* database_ids;
  Rows query_sets;
  Rows database_sets;
};

inline Relevance relevance_of(const Labels& labels, int64_t queries, int64_t database) {
  return {labels.query_ids, labels.database_ids, rows_of(labels.query_sets, queries, labels.set_bytes),
          rows_of(labels.database_sets, database, labels.set_bytes)};
}

// What is kept of a query's or a row's labels in a scan: the class id, or the first word of the label set.
__device__ inline int64_t query_label(const Relevance& labels, int64_t query) {
  if (labels.query_ids == nullptr) return static_cast<int64_t>(load_word(labels.query_sets, query, 0));
  const int64_t id = labels.query_ids[query];
  return id >= 0 ? id : -2;  // equal to no row's
}
__device__ inline int64_t database_label(const Relevance& labels, int64_t row) {
  if (labels.database_ids == nullptr) return static_cast<int64_t>(load_word(labels.database_sets, row, 0));
  return max(labels.database_ids[row], int64_t{-1});
}

// `query_label` and `database_label` are those of the query and the row.
__device__ inline bool is_relevant(const Relevance& labels, int64_t query_label, int64_t database_label, int64_t query,
                                   int64_t row) {
  if (labels.query_ids != nullptr) return query_label == database_label;
  if ((query_label & database_label) != 0) return true;
  for (int64_t i = 1; i < words_of(labels.query_sets); ++i) {
    if ((load_word(labels.query_sets, query, i) & load_word(labels.database_sets, row, i)) != 0) return true;
  }
  return false;
}

// With class ids one or none.
__device__ inline int shared_labels(const Relevance& labels, int64_t query_label, int64_t database_label, int64_t query,
                                    int64_t row) {
  if (labels.query_ids != nullptr) return query_label == database_label;
  int count = __popcll(query_label & database_label);
  for (int64_t i = 1; i < words_of(labels.query_sets); ++i) {
    count += __popcll(load_word(labels.query_sets, query, i) & load_word(labels.database_sets, row, i));
  }
  return count;
}

// The labels of a lane's rows in a step of the scan, first + 32 * j + lane; past the last row, those of the last.
template <int kCodes>
__device__ void load_labels(const Relevance& labels, int64_t first, int64_t (&own)[kCodes]) {
#pragma unroll
  for (int j = 0; j < kCodes; ++j) {
    own[j] = database_label(labels, min(first + j * kLanes + lane_index(), labels.database_sets.rows - 1));
  }
}

}  // namespace fasthash::cuda

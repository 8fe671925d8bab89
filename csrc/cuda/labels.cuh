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

__device__ inline bool is_relevant(const Relevance& labels, int64_t query, int64_t row) {
  if (labels.query_ids != nullptr) {
    const int64_t id = labels.query_ids[query];
    return id >= 0 && id == labels.database_ids[row];
  }
  for (int64_t i = 0; i < words_of(labels.query_sets); ++i) {
    if ((load_word(labels.query_sets, query, i) & load_word(labels.database_sets, row, i)) != 0) return true;
  }
  return false;
}

// With class ids one or none.
__device__ inline int shared_labels(const Relevance& labels, int64_t query, int64_t row) {
  if (labels.query_ids != nullptr) return is_relevant(labels, query, row);
  int count = 0;
  for (int64_t i = 0; i < words_of(labels.query_sets); ++i) {
    count += __popcll(load_word(labels.query_sets, query, i) & load_word(labels.database_sets, row, i));
  }
  return count;
}

}  // namespace fasthash::cuda

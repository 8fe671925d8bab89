// SPDX-License-Identifier: Apache-2.0
// Counts by query, part of the database and distance, and from them the place of every result.
//
// Distances take few values, so counting replaces sorting: a result stands behind the codes of lower distance, behind
// those of its distance in lower parts, and behind those before it in its own part.
#pragma once

#include "labels.cuh"

namespace fasthash::cuda {

// How a table is laid out in the caller's workspace: for `group` queries at a time, over `parts` of the database.
struct TablePlan {
  int64_t bins;      // distances 0 .. bins - 1 are counted
  int64_t channels;  // 1: all codes; 2: all and relevant, side by side
  int64_t parts;
  int64_t group;
  int64_t extra;  // further words that the caller wants for each query and part

  int64_t width() const { return bins * channels; }
  int64_t words_per_query() const { return (parts + 1) * width() + channels + 1 + parts * extra; }
  int64_t workspace() const { return group * words_per_query() * static_cast<int64_t>(sizeof(int64_t)); }
};

// Splits so that the workspace keeps to kTableWords, where one query and part do.
TablePlan plan_table(int64_t queries, int64_t database, int64_t bytes, int64_t bins, int64_t channels,
                     int64_t extra = 0);

struct Table {
  int64_t bins;
  int64_t channels;
  int64_t* counts;  // (queries, parts, bins, channels): after place(), the codes of this distance in lower parts
  int64_t* starts;  // (queries, bins, channels): the codes of lower distance
  int64_t* found;   // (queries, channels): all codes
  int64_t* cutoff;  // (queries,): the largest distance that reaches a place below the limit, -1 = none
  int64_t* extra;   // (queries, parts, plan.extra)
};

Table make_table(const TablePlan& plan, int64_t queries, void* workspace);

// out (queries, out_parts, bins, channels): the allowed codes at each distance below `bins`. `relevance` null = one
// channel. out_parts: scan.parts, or 1 to add up all parts. Nothing for answered queries.
void count_by_distance(const char* op, const Scan& scan, const Relevance* relevance, int64_t bins, int64_t* out,
                       int64_t out_parts, StreamHandle stream);

// out (queries, bins, classes + 1): likewise by distance and number of shared labels.
void count_by_overlap(const char* op, const Scan& scan, const Relevance& relevance, int64_t bins, int64_t classes,
                      int64_t* out, StreamHandle stream);

// Turns the counts of a table into places; only those below `limit` matter. Leaves answered queries out.
void place(const char* op, const Scan& scan, const Table& table, int64_t limit, StreamHandle stream);

// The part of a call that one table holds: queries first .. first + count - 1 and all that belongs to them.
inline Codes slice(Codes codes, int64_t first, int64_t count) {
  return {codes.data + first * codes.bytes, count, codes.bytes};
}
inline Filter slice(Filter filter, int64_t first) {
  return {filter.mask, filter.exclude == nullptr ? nullptr : filter.exclude + first};
}
inline Labels slice(Labels labels, int64_t first) {
  if (labels.query_ids != nullptr) labels.query_ids += first;
  if (labels.query_sets != nullptr) labels.query_sets += first * labels.set_bytes;
  return labels;
}

}  // namespace fasthash::cuda

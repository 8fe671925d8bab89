// SPDX-License-Identifier: Apache-2.0
// Average precision in index order, in two passes: how many codes lie at each distance, and then, code by code, the
// rank of each relevant one.
#include <memory>
#include <utility>

#include "fasthash/count.h"
#include "scan.h"
#include "slices.h"
#include "threads.h"

namespace fasthash::cpu {
namespace {

constexpr int64_t kMostQueries = 64;
constexpr int64_t kTogether = 4;           // queries whose ranks are counted in turn: one waits for its last store
constexpr int64_t kGroupBytes = 32 << 20;  // of the counts kept between the passes
// Fractions are added up part by part, so that parts can be handed to threads; the sum does not depend on who does.
constexpr int64_t kPartCodes = 1 << 18;

// Which codes of a slice are relevant to the queries of a task.
class Relevance {
 public:
  Relevance(const Level& level, const Labels& labels, const Task& task)
      : labels_(labels),
        own_(&labels, task.first, task.last),
        maker_(level, {labels.database_sets, 0, labels.query_ids != nullptr ? 0 : labels.set_bytes}),
        planes_(static_cast<size_t>(labels.query_ids != nullptr ? own_.classes() + 1 : 8 * labels.set_bytes)) {}

  void read(const int64_t* indices, int64_t first, int64_t count) {
    if (labels_.query_ids == nullptr) return maker_.make(indices, first, count, planes_.data());
    std::fill(planes_.begin(), planes_.end(), Plane{});
    for (int64_t i = 0; i < count; ++i) {
      const int64_t id = labels_.database_ids[indices != nullptr ? indices[i] : first + i];
      planes_[own_.number(id)].words[i / 64] |= uint64_t{1} << i % 64;
    }
  }

  Plane of(int64_t query) const {
    Plane relevant{};
    const uint32_t* own = own_.of(query);
    for (int64_t i = 0; i < own_.count(query); ++i) {
      const Plane& label = planes_[own[i]];
      for (int w = 0; w < kPlaneWords; ++w) relevant.words[w] |= label.words[w];
    }
    return relevant;
  }

 private:
  Labels labels_;
  OwnLabels own_;
  PlaneMaker maker_;
  std::vector<Plane> planes_;
};

// The second pass of one query, with counts of type Count.
template <class Count>
class Ranking {
 public:
  // starts: (distances, 2), codes and relevant codes that rank before those of each distance.
  Ranking(const int64_t* starts, int64_t distances, int64_t window)
      : all_(static_cast<size_t>(distances + 1)), relevant_(static_cast<size_t>(distances)), window_(window) {
    for (int64_t d = 0; d < distances; ++d) {
      all_[static_cast<size_t>(d)] = static_cast<Count>(starts[2 * d]);
      relevant_[static_cast<size_t>(d)] = static_cast<Count>(starts[2 * d + 1]);
    }
  }

  // Gives each code of a run its rank, queries in turn.
  template <int Q>
  static void rank(Ranking* const* rankings, const uint16_t* distances, int64_t codes, Count* ranks) {
    Count* all[Q];
    for (int q = 0; q < Q; ++q) all[q] = rankings[q]->all_.data();
    for (int64_t i = 0; i < codes; ++i) {
      for (int q = 0; q < Q; ++q) ranks[q * kSliceCodes + i] = ++all[q][distances[q * kSliceCodes + i]];
    }
  }

  void add(const Plane& relevant, const uint16_t* distances, const Count* ranks) {
    double found[kSliceCodes], rank[kSliceCodes];
    int64_t count = 0;
    for (int w = 0; w < kPlaneWords; ++w) {
      for (uint64_t bits = relevant.words[w]; bits != 0; bits &= bits - 1) {
        const int i = 64 * w + __builtin_ctzll(bits);
        found[count] = static_cast<double>(++relevant_[distances[i]]);
        rank[count] = static_cast<double>(ranks[i]);
        count += ranks[i] <= window_;
      }
    }
    for (int64_t i = 0; i < count; ++i) found[i] /= rank[i];
    for (int64_t i = 0; i < count; ++i) sum_ += found[i];
    hits_ += count;
  }

  double take_sum() { return std::exchange(sum_, 0); }
  int64_t hits() const { return hits_; }

 private:
  std::vector<Count> all_, relevant_;  // all_ has one more place, for the excluded code
  Count window_;
  double sum_ = 0;
  int64_t hits_ = 0;
};

struct Call {
  Codes queries, database;
  Labels labels;
  Filter filter;
  int64_t window;
};

// Queries first..last - 1 of a call.
Call queries_of(const Call& call, int64_t first, int64_t last) {
  Call part = call;
  part.queries = {call.queries.data + first * call.queries.bytes, last - first, call.queries.bytes};
  if (part.labels.query_ids != nullptr) part.labels.query_ids += first;
  if (part.labels.query_sets != nullptr) part.labels.query_sets += first * call.labels.set_bytes;
  if (part.filter.exclude != nullptr) part.filter.exclude += first;
  return part;
}

// relevance_histogram of the rows begin..end - 1 of the database.
void count_rows(const Call& call, int64_t begin, int64_t end, int64_t* out, int threads) {
  const Codes rows{call.database.data + begin * call.database.bytes, end - begin, call.database.bytes};
  Labels labels = call.labels;
  if (labels.database_ids != nullptr) labels.database_ids += begin;
  if (labels.database_sets != nullptr) labels.database_sets += begin * labels.set_bytes;
  Filter filter = call.filter;
  if (filter.mask != nullptr) filter.mask += begin;
  std::vector<int64_t> exclude;
  for (int64_t query = 0; filter.exclude != nullptr && query < call.queries.rows; ++query) {
    const int64_t row = call.filter.exclude[query];
    exclude.push_back(row >= begin && row < end ? row - begin : -1);
  }
  if (filter.exclude != nullptr) filter.exclude = exclude.data();
  relevance_histogram(call.queries, rows, labels, filter, out, threads);
}

// The second pass of a task, in index order.
template <class Count>
void walk(const Level& level, const Call& call, const Task& task, Relevance& relevance,
          std::vector<Ranking<Count>>& rankings) {
  const int words = words_of(call.queries.bytes);
  const std::vector<uint64_t> rows = query_words(call.queries, task.first, task.last);
  std::vector<uint16_t> distances(kTogether * kSliceCodes);
  std::vector<Count> ranks(kTogether * kSliceCodes);
  Plane relevant[kTogether];
  Ranking<Count>* some[kTogether];
  BlockReader reader(level, call.database, call.filter.mask, task.begin, task.end);
  for (Block block; reader.next(block);) {
    for (int64_t at = 0; at < block.codes; at += kSliceCodes) {
      const int64_t* indices = block.indices != nullptr ? block.indices + at : nullptr;
      const int64_t first_row = indices != nullptr ? *indices : block.first + at;
      const Block run{block.groups + at * words, std::min<int64_t>(kSliceCodes, block.codes - at), first_row, indices};
      relevance.read(indices, run.first, run.codes);
      for (int64_t first = task.first; first < task.last; first += kTogether) {
        const int64_t count = std::min(kTogether, task.last - first);
        for (int64_t i = 0; i < count; ++i) {
          const int64_t query = first + i;
          uint16_t* own = &distances[static_cast<size_t>(i * kSliceCodes)];
          level.distances(&rows[static_cast<size_t>((query - task.first) * words)], run, words, own);
          relevant[i] = relevance.of(query);
          some[i] = &rankings[static_cast<size_t>(query - task.first)];
          const int64_t skip = place_in(run, excluded(call.filter, query));
          if (skip < 0) continue;
          own[skip] = static_cast<uint16_t>(8 * call.queries.bytes + 1);  // a distance of its own
          relevant[i].words[skip / 64] &= ~(uint64_t{1} << skip % 64);
        }
        if (count == kTogether) {
          Ranking<Count>::template rank<kTogether>(some, distances.data(), run.codes, ranks.data());
        }
        for (int64_t i = 0; i < count; ++i) {
          const uint16_t* own = &distances[static_cast<size_t>(i * kSliceCodes)];
          Count* own_ranks = &ranks[static_cast<size_t>(i * kSliceCodes)];
          if (count < kTogether) Ranking<Count>::template rank<1>(some + i, own, run.codes, own_ranks);
          some[i]->add(relevant[i], own, own_ranks);
        }
      }
    }
  }
}

// Counts become what ranks before the codes of a section: all of smaller distance, and those of the same distance in
// earlier sections. counts (sections, queries, distances, 2). relevant: all relevant codes.
void place(std::vector<int64_t>& counts, int64_t sections, int64_t queries, int64_t distances, int64_t* relevant) {
  for (int64_t query = 0; query < queries; ++query) {
    int64_t before[2] = {};
    for (int64_t d = 0; d < distances; ++d) {
      for (int64_t section = 0; section < sections; ++section) {
        int64_t* entry = &counts[static_cast<size_t>(((section * queries + query) * distances + d) * 2)];
        for (int i = 0; i < 2; ++i) before[i] += std::exchange(entry[i], before[i]);
      }
    }
    relevant[query] = before[1];
  }
}

// For so many queries as their counts leave room for. With more threads than queries the sections of the database are
// its parts, else there is one.
template <class Count>
void average_precision(const Call& call, int64_t sections, double* precision_sum, int64_t* hits, int64_t* relevant,
                       int threads) {
  const Level& chosen = level();
  const int64_t queries = call.queries.rows, rows = call.database.rows, distances = 8 * call.queries.bytes + 1;
  const int64_t section_rows = sections > 1 ? kPartCodes : rows;
  std::vector<int64_t> counts(static_cast<size_t>(sections * queries * distances * 2));
  for (int64_t section = 0; section < sections; ++section) {
    const int64_t begin = section * section_rows;
    count_rows(call, begin, std::min(rows, begin + section_rows),
               &counts[static_cast<size_t>(section * queries * distances * 2)], threads);
  }
  place(counts, sections, queries, distances, relevant);

  const int64_t batch = std::clamp<int64_t>((queries + threads - 1) / threads, 1, kMostQueries);
  const int64_t batches = (queries + batch - 1) / batch;
  std::vector<double> sums(static_cast<size_t>(sections * queries));
  std::vector<int64_t> found(static_cast<size_t>(sections * queries));
  parallel_for(batches * sections, threads, [&](int64_t number) {
    const int64_t section = number / batches, first = number % batches * batch;
    const int64_t begin = section * section_rows, end = std::min(rows, begin + section_rows);
    const Task task{first, std::min(queries, first + batch), begin, end, section};
    std::vector<Ranking<Count>> rankings;
    for (int64_t query = task.first; query < task.last; ++query) {
      const int64_t* starts = &counts[static_cast<size_t>((section * queries + query) * distances * 2)];
      rankings.emplace_back(starts, distances, std::min(call.window, rows));
    }
    Relevance relevance(chosen, call.labels, task);
    for (int64_t part = begin; part < end; part += kPartCodes) {
      walk(chosen, call, {task.first, task.last, part, std::min(end, part + kPartCodes), section}, relevance, rankings);
      for (int64_t query = task.first; query < task.last; ++query) {
        sums[static_cast<size_t>(section * queries + query)] += rankings[static_cast<size_t>(query - first)].take_sum();
      }
    }
    for (int64_t query = task.first; query < task.last; ++query) {
      found[static_cast<size_t>(section * queries + query)] = rankings[static_cast<size_t>(query - first)].hits();
    }
  });
  for (int64_t query = 0; query < queries; ++query) {
    precision_sum[query] = 0;
    hits[query] = 0;
    for (int64_t section = 0; section < sections; ++section) {
      precision_sum[query] += sums[static_cast<size_t>(section * queries + query)];
      hits[query] += found[static_cast<size_t>(section * queries + query)];
    }
  }
}

}  // namespace

void average_precision_counts(Codes queries, Codes database, Labels labels, Filter filter, int64_t window,
                              double* precision_sum, int64_t* hits, int64_t* relevant, int threads) {
  const Call call{queries, database, labels, filter, window};
  const int64_t parts = std::max<int64_t>(1, (database.rows + kPartCodes - 1) / kPartCodes);
  const int64_t sections = queries.rows < threads ? parts : 1;
  const int64_t room = kGroupBytes / (16 * (8 * queries.bytes + 1) * sections);
  const int64_t group = std::max<int64_t>(sections > 1 ? 1 : threads, room);
  // Counts of 32 bits, two to a word of the cache, as long as they suffice.
  const auto run = database.rows < int64_t{1} << 32 ? average_precision<uint32_t> : average_precision<uint64_t>;
  for (int64_t first = 0; first < queries.rows; first += group) {
    const int64_t last = std::min(queries.rows, first + group);
    run(queries_of(call, first, last), sections, precision_sum + first, hits + first, relevant + first, threads);
  }
}

}  // namespace fasthash::cpu

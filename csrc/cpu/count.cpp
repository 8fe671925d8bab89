#include "fasthash/count.h"

#include <mutex>
#include <utility>

#include "pairs.h"
#include "threads.h"

namespace fasthash::cpu {
namespace {

constexpr int64_t kMostQueries = 64;
constexpr int64_t kGroupBytes = 32 << 20;  // of the counts that average precision keeps between its passes
constexpr int64_t kTableBytes = 8 << 20;   // of one task's counts
constexpr int kTables = 4;  // codes take turns, so that equal neighbours do not wait for each other's store

// out (queries.rows, bins): bin_of(pairs, i) < bins, counted over all pairs.
template <class BinOf>
void histogram(Codes queries, Codes database, const Labels* labels, Filter filter, int64_t bins, int64_t* out,
               int threads, BinOf bin_of) {
  std::fill(out, out + queries.rows * bins, 0);
  if (queries.rows == 0) return;
  const Level& chosen = level();
  const int64_t fitting = kTableBytes / (8 * bins * kTables);
  const Cut cut(queries.rows, database.rows, threads, std::clamp<int64_t>(fitting, 1, kMostQueries));
  std::mutex adding;  // parts of the database share the rows of out
  parallel_for(cut.tasks(), threads, [&](int64_t number) {
    const Task task = cut.task(number);
    std::vector<int64_t> tables(static_cast<size_t>((task.last - task.first) * bins * kTables), 0);
    visit_pairs(chosen, queries, database, labels, filter, task, [&](const Pairs& pairs) {
      int64_t* table = &tables[static_cast<size_t>((pairs.query - task.first) * bins * kTables)];
      int64_t i = 0;
      for (; i + kTables <= pairs.codes; i += kTables) {
        for (int t = 0; t < kTables; ++t) ++table[t * bins + bin_of(pairs, i + t)];
      }
      for (; i < pairs.codes; ++i) ++table[bin_of(pairs, i)];
      if (pairs.skip >= 0) --table[bin_of(pairs, pairs.skip)];
    });
    const std::lock_guard lock(adding);
    for (int64_t q = task.first; q < task.last; ++q) {
      const int64_t* table = &tables[static_cast<size_t>((q - task.first) * bins * kTables)];
      for (int64_t i = 0; i < bins * kTables; ++i) out[q * bins + i % bins] += table[i];
    }
  });
}

}  // namespace

void hamming_histogram(Codes queries, Codes database, Filter filter, int64_t* out, int threads) {
  histogram(queries, database, nullptr, filter, 8 * queries.bytes + 1, out, threads,
            [](const Pairs& pairs, int64_t i) { return static_cast<int64_t>(pairs.distances[i]); });
}

void relevance_histogram(Codes queries, Codes database, Labels labels, Filter filter, int64_t* out, int threads) {
  const int64_t bins = 2 * (8 * queries.bytes + 1);
  histogram(queries, database, &labels, filter, bins, out, threads, [](const Pairs& pairs, int64_t i) {
    return 2 * static_cast<int64_t>(pairs.distances[i]) + (pairs.overlaps[i] != 0);
  });
  // Counted as [irrelevant, relevant].
  for (int64_t i = 0; i < queries.rows * bins; i += 2) out[i] += out[i + 1];
}

void overlap_histogram(Codes queries, Codes database, Labels labels, int64_t classes, Filter filter, int64_t* out,
                       int threads) {
  const int64_t bins = (8 * queries.bytes + 1) * (classes + 1);
  histogram(queries, database, &labels, filter, bins, out, threads, [classes](const Pairs& pairs, int64_t i) {
    return (classes + 1) * pairs.distances[i] + pairs.overlaps[i];
  });
}

namespace {

// average_precision_counts for so many queries as their counts leave room for.
void average_precision_group(Codes queries, Codes database, Labels labels, Filter filter, int64_t window,
                             double* precision_sum, int64_t* hits, int64_t* relevant, int threads) {
  const Level& chosen = level();
  const int64_t distances = 8 * queries.bytes + 1;
  // First pass: how many codes, and how many relevant ones, lie at smaller distances.
  std::vector<int64_t> before(static_cast<size_t>(queries.rows * distances * 2));
  relevance_histogram(queries, database, labels, filter, before.data(), threads);
  for (int64_t q = 0; q < queries.rows; ++q) {
    int64_t all = 0, matching = 0;
    for (int64_t d = 0; d < distances; ++d) {
      int64_t* entry = &before[static_cast<size_t>((q * distances + d) * 2)];
      all += std::exchange(entry[0], all);
      matching += std::exchange(entry[1], matching);
    }
    relevant[q] = matching;
    precision_sum[q] = 0;
    hits[q] = 0;
  }
  // Second pass, in index order: the counts run on and are the rank of each code. One query is one thread's,
  // so the order of the sum is that of the database whatever the number of threads.
  const int64_t batch = std::clamp<int64_t>((queries.rows + threads - 1) / threads, 1, kMostQueries);
  parallel_for((queries.rows + batch - 1) / batch, threads, [&](int64_t number) {
    const int64_t first = number * batch;
    const Task task{first, std::min(queries.rows, first + batch), 0, database.rows, 0};
    visit_pairs(chosen, queries, database, &labels, filter, task, [&](const Pairs& pairs) {
      int64_t* entries = &before[static_cast<size_t>(pairs.query * distances * 2)];
      for (int64_t i = 0; i < pairs.codes; ++i) {
        if (i == pairs.skip) continue;
        int64_t* entry = entries + 2 * pairs.distances[i];
        const int64_t rank = ++entry[0];
        if (pairs.overlaps[i] == 0) continue;
        const int64_t found = ++entry[1];
        if (rank > window) continue;
        precision_sum[pairs.query] += static_cast<double>(found) / static_cast<double>(rank);
        ++hits[pairs.query];
      }
    });
  });
}

}  // namespace

void average_precision_counts(Codes queries, Codes database, Labels labels, Filter filter, int64_t window,
                              double* precision_sum, int64_t* hits, int64_t* relevant, int threads) {
  const int64_t group = std::max<int64_t>(threads, kGroupBytes / (16 * (8 * queries.bytes + 1)));
  for (int64_t first = 0; first < queries.rows; first += group) {
    const Codes rows{queries.data + first * queries.bytes, std::min(group, queries.rows - first), queries.bytes};
    Labels own = labels;
    if (own.query_ids != nullptr) own.query_ids += first;
    if (own.query_sets != nullptr) own.query_sets += first * own.set_bytes;
    const Filter filters{filter.mask, filter.exclude != nullptr ? filter.exclude + first : nullptr};
    average_precision_group(rows, database, own, filters, window, precision_sum + first, hits + first, relevant + first,
                            threads);
  }
}

}  // namespace fasthash::cpu

// SPDX-License-Identifier: Apache-2.0
// Counting pair by pair, for few queries: they do not pay for the making of planes.
#pragma once

#include <algorithm>
#include <vector>

#include "counting.h"
#include "pairs.h"

namespace fasthash::cpu {

class PairCounting {
 public:
  PairCounting(const Level& level, const Plan& plan, const Task& task) : level_(level), plan_(plan), task_(task) {}

  void run(int64_t* out, std::mutex& adding) {
    const int64_t bins = (plan_.bits + 1) * plan_.width;
    // As many queries as their tables leave room for.
    const int64_t some = std::max<int64_t>(1, kTableBytes / (8 * bins * kTables));
    for (int64_t first = task_.first; first < task_.last; first += some) {
      const Task task{first, std::min(task_.last, first + some), task_.begin, task_.end, task_.part};
      std::vector<int64_t> tables(static_cast<size_t>((task.last - task.first) * bins * kTables), 0);
      visit_pairs(
          level_, plan_.queries, plan_.database, plan_.labels, plan_.filter.mask, task, [&](const Pairs& pairs) {
            int64_t* table = &tables[static_cast<size_t>((pairs.query - task.first) * bins * kTables)];
            switch (plan_.channels) {
              case Channels::kOne:
                return count(pairs, table, bins, [&](int64_t i) { return int64_t{pairs.distances[i]}; });
              case Channels::kRelevance:
                return count(pairs, table, bins,
                             [&](int64_t i) { return 2 * int64_t{pairs.distances[i]} + (pairs.overlaps[i] != 0); });
              case Channels::kOverlap:
                return count(pairs, table, bins,
                             [&](int64_t i) { return plan_.width * pairs.distances[i] + pairs.overlaps[i]; });
            }
          });
      const std::lock_guard lock(adding);
      for (int64_t q = task.first; q < task.last; ++q) {
        const int64_t* table = &tables[static_cast<size_t>((q - task.first) * bins * kTables)];
        for (int64_t i = 0; i < bins * kTables; ++i) out[q * bins + i % bins] += table[i];
      }
    }
  }

 private:
  static constexpr int64_t kTableBytes = 8 << 20;
  static constexpr int kTables = 4;  // codes take turns, so that equal neighbours do not wait for each other's store

  template <class BinOf>
  static void count(const Pairs& pairs, int64_t* table, int64_t bins, BinOf bin_of) {
    int64_t i = 0;
    for (; i + kTables <= pairs.codes; i += kTables) {
      for (int t = 0; t < kTables; ++t) ++table[t * bins + bin_of(i + t)];
    }
    for (; i < pairs.codes; ++i) ++table[bin_of(i)];
  }

  const Level& level_;
  const Plan& plan_;
  Task task_;
};

}  // namespace fasthash::cpu

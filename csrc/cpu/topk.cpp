// SPDX-License-Identifier: Apache-2.0
// Top-k by threshold, append and count: a code below the query's threshold is appended; a full buffer is
// pruned to the k nearest, which lowers the threshold. Distances take at most bits + 1 values, so counting
// does the work of sorting.
#include <bit>
#include <memory>
#include <utility>

#include "distinct.h"
#include "fasthash/select.h"
#include "memory.h"
#include "sample.h"
#include "scan.h"
#include "threads.h"

namespace fasthash::cpu {
namespace {

constexpr int64_t kMostQueries = 256;      // of a batch: its selections stay in the L2 cache
constexpr int64_t kBatchBytes = 16 << 20;  // of its selections, unless one query alone needs more
constexpr int64_t kLeastRoom = 48;         // beyond k, so that small k does not prune at every step
constexpr int64_t kLeastGroup = 64;        // queries whose nearest distinct codes are held at a time
constexpr int64_t kGrain = 16;             // of them, a task
constexpr size_t kMostToSort = 128;        // rows; more are put in order by a bitmap

// Counts keys by distance; one for each task. Keys stand in index order, and their number may be large: no step
// branches on a key, for which way it goes would be a guess.
class Counter {
 public:
  Counter(int64_t k, int64_t bits) : k_(k), bins_(bits + 1), counts_(static_cast<size_t>(kTables * bins_)) {}

  // Keeps the k nearest of a selection, in scan order. A later code at the distance of the last one cannot
  // win any more, for its index is higher: from here on only smaller distances are taken.
  void prune(Selection& selection) {
    if (selection.size < k_) return;
    count(selection.keys, selection.size);
    selection.threshold = keep_nearest(selection.keys, selection.size);
    selection.size = k_;
  }

  // Writes the k nearest of keys, by distance. The keys are lost.
  void write(uint64_t* keys, int64_t size, int32_t* distances, int64_t* indices) {
    count(keys, size);
    if (size > k_) {
      const int64_t last = keep_nearest(keys, size);
      size = k_;
      std::fill(counts_.begin() + last + 1, counts_.begin() + bins_, 0);
    }
    int64_t place = 0;
    for (int64_t d = 0; d < bins_; ++d) place += std::exchange(counts_[static_cast<size_t>(d)], place);
    for (int64_t i = 0; i < size; ++i) {
      const int64_t at = counts_[static_cast<size_t>(distance_of(keys[i]))]++;
      distances[at] = static_cast<int32_t>(distance_of(keys[i]));
      indices[at] = index_of(keys[i]);
    }
    std::fill(distances + size, distances + k_, kNoDistance);
    std::fill(indices + size, indices + k_, kNoIndex);
  }

 private:
  static constexpr int64_t kTables = 4;  // take turns where there are many keys, for equal ones wait for each other

  void count(const uint64_t* keys, int64_t size) {
    std::fill(counts_.begin(), counts_.begin() + bins_, 0);
    int64_t i = 0;
    if (size > kTables * bins_) {
      std::fill(counts_.begin() + bins_, counts_.end(), 0);
      for (; i + kTables <= size; i += kTables) {
        for (int64_t t = 0; t < kTables; ++t) ++counts_[static_cast<size_t>(t * bins_ + distance_of(keys[i + t]))];
      }
      for (int64_t t = 1; t < kTables; ++t) {
        for (int64_t d = 0; d < bins_; ++d)
          counts_[static_cast<size_t>(d)] += counts_[static_cast<size_t>(t * bins_ + d)];
      }
    }
    for (; i < size; ++i) ++counts_[static_cast<size_t>(distance_of(keys[i]))];
  }

  // Moves the k nearest of counted keys, of which there are more than k, to the front; gives the distance of the last.
  int64_t keep_nearest(uint64_t* keys, int64_t size) const {
    int64_t last = 0, ties = k_;
    while (ties > counts_[static_cast<size_t>(last)]) ties -= counts_[static_cast<size_t>(last++)];
    int64_t kept = 0;
    for (int64_t i = 0; i < size; ++i) {
      const uint64_t key = keys[i];
      const int64_t distance = distance_of(key);
      const int64_t tie = distance == last;
      keys[kept] = key;
      kept += (distance < last) | (tie & (ties > 0));
      ties -= tie;
    }
    return last;
  }

  int64_t k_, bins_;
  std::vector<int64_t> counts_;
};

void make_room(Selection* selection) {
  static_cast<Counter*>(selection->owner)->prune(*selection);
}

// Keys that a query's buffer holds in a scan of `codes` codes; one more than it can fill is never asked for.
int64_t room(int64_t k, int64_t codes) {
  return k >= codes ? codes + 1 : std::min(codes, k + std::max(k, kLeastRoom)) + 1;
}

// One search of all queries. With a sample, a query may come out with fewer than k codes although there are more; then
// its number is added to `failed`.
void search(Codes queries, Codes database, int64_t k, Filter filter, const Sample* sample, int32_t* distances,
            int64_t* indices, int threads, std::vector<int64_t>& failed) {
  const Level& chosen = level();
  const int64_t bits = 8 * database.bytes;
  const int words = words_of(database.bytes);
  const int64_t fitting = kBatchBytes / (8 * room(k, database.rows));
  const Cut cut(queries.rows, database.rows, threads, std::clamp<int64_t>(fitting, 1, kMostQueries));
  // With several parts each query's nearest wait here, part after part and so in index order.
  std::vector<std::vector<uint64_t>> waiting(static_cast<size_t>(cut.parts() > 1 ? queries.rows * cut.parts() : 0));
  std::vector<uint8_t> short_of(static_cast<size_t>(queries.rows), 0);

  parallel_for(cut.tasks(), threads, [&](int64_t number) {
    const Task task = cut.task(number);
    const int64_t capacity = room(k, task.end - task.begin);
    Counter counter(k, bits);
    const auto keys =
        std::make_unique_for_overwrite<uint64_t[]>(static_cast<size_t>((task.last - task.first) * capacity));
    const std::vector<uint64_t> rows = query_words(queries, task.first, task.last);
    std::vector<uint16_t> sampled;
    std::vector<Selection> selections;
    for (int64_t i = task.first; i < task.last; ++i) {
      const uint64_t* row = rows.data() + (i - task.first) * words;
      const int64_t threshold = sample != nullptr ? sample->threshold(row, sampled) : bits + 1;
      uint64_t* own = keys.get() + (i - task.first) * capacity;
      selections.push_back({own, 0, capacity, threshold, excluded(filter, i), make_room, &counter});
    }
    scan(chosen, rows, database, filter, task, selections);
    for (int64_t i = task.first; i < task.last; ++i) {
      Selection& selection = selections[static_cast<size_t>(i - task.first)];
      if (cut.parts() == 1) {
        short_of[static_cast<size_t>(i)] = selection.size < k;
        counter.write(selection.keys, selection.size, distances + i * k, indices + i * k);
      } else {
        counter.prune(selection);
        waiting[static_cast<size_t>(i * cut.parts() + task.part)].assign(selection.keys,
                                                                         selection.keys + selection.size);
      }
    }
  });
  if (cut.parts() > 1) {
    parallel_for(queries.rows, threads, [&](int64_t i) {
      std::vector<uint64_t> keys;
      for (int64_t part = 0; part < cut.parts(); ++part) {
        const auto& more = waiting[static_cast<size_t>(i * cut.parts() + part)];
        keys.insert(keys.end(), more.begin(), more.end());
      }
      short_of[static_cast<size_t>(i)] = static_cast<int64_t>(keys.size()) < k;
      Counter(k, bits).write(keys.data(), static_cast<int64_t>(keys.size()), distances + i * k, indices + i * k);
    });
  }
  if (sample == nullptr) return;
  for (int64_t i = 0; i < queries.rows; ++i) {
    if (short_of[static_cast<size_t>(i)] != 0) failed.push_back(i);
  }
}

// Those queries, gathered, without a sample.
void search_again(Codes queries, Codes database, int64_t k, Filter filter, const std::vector<int64_t>& chosen,
                  int32_t* distances, int64_t* indices, int threads) {
  const auto count = static_cast<int64_t>(chosen.size());
  std::vector<uint8_t> rows(static_cast<size_t>(count * queries.bytes));
  std::vector<int64_t> exclude(static_cast<size_t>(count));
  std::vector<int32_t> own_distances(static_cast<size_t>(count * k));
  std::vector<int64_t> own_indices(static_cast<size_t>(count * k)), failed;
  for (int64_t i = 0; i < count; ++i) {
    std::copy_n(queries.data + chosen[static_cast<size_t>(i)] * queries.bytes, queries.bytes,
                rows.data() + i * queries.bytes);
    exclude[static_cast<size_t>(i)] = excluded(filter, chosen[static_cast<size_t>(i)]);
  }
  search({rows.data(), count, queries.bytes}, database, k, {filter.mask, exclude.data()}, nullptr, own_distances.data(),
         own_indices.data(), threads, failed);
  for (int64_t i = 0; i < count; ++i) {
    std::copy_n(own_distances.data() + i * k, k, distances + chosen[static_cast<size_t>(i)] * k);
    std::copy_n(own_indices.data() + i * k, k, indices + chosen[static_cast<size_t>(i)] * k);
  }
}

void search_all(Codes queries, Codes database, int64_t k, Filter filter, int32_t* distances, int64_t* indices,
                int threads) {
  const Sample sample(level(), database, filter.mask, k);
  std::vector<int64_t> failed;
  search(queries, database, k, filter, sample.empty() ? nullptr : &sample, distances, indices, threads, failed);
  if (!failed.empty()) search_again(queries, database, k, filter, failed, distances, indices, threads);
}

// Moves the `count` lowest of some rows to the front, in order. `bitmap` has a bit for each row of the database, all
// zero before and after.
void lowest_first(std::vector<uint32_t>& rows, int64_t count, std::vector<uint64_t>& bitmap) {
  if (std::is_sorted(rows.begin(), rows.end())) return;
  if (rows.size() <= kMostToSort) {
    std::partial_sort(rows.begin(), rows.begin() + count, rows.end());
    return;
  }
  const auto [lowest, highest] = std::minmax_element(rows.begin(), rows.end());
  const size_t first = *lowest / 64, last = *highest / 64;
  for (const uint32_t row : rows) bitmap[row / 64] |= uint64_t{1} << row % 64;
  size_t found = 0;
  for (size_t word = first; word <= last; ++word) {
    for (uint64_t bits = std::exchange(bitmap[word], 0); bits != 0; bits &= bits - 1) {
      rows[found++] = static_cast<uint32_t>(64 * word) + static_cast<uint32_t>(std::countr_zero(bits));
    }
  }
}

// Each distinct code has a row of its own at least, so the k nearest codes hold the k nearest rows; of codes at the
// same distance those with the lowest first rows, which is the order that they have.
void search_distinct(Codes queries, const Distinct& distinct, int64_t rows, int64_t k, Filter filter,
                     int32_t* distances, int64_t* indices, int threads) {
  const int64_t wanted = std::min(k + (filter.exclude != nullptr), distinct.codes().rows);
  const int64_t group = std::max<int64_t>(kLeastGroup, kBatchBytes / (12 * wanted));
  std::vector<int32_t> code_distances(static_cast<size_t>(std::min(group, queries.rows) * wanted));
  std::vector<int64_t> codes(code_distances.size());
  for (int64_t first = 0; first < queries.rows; first += group) {
    const Codes some{queries.data + first * queries.bytes, std::min(group, queries.rows - first), queries.bytes};
    search_all(some, distinct.codes(), wanted, {nullptr, nullptr}, code_distances.data(), codes.data(), threads);
    parallel_for((some.rows + kGrain - 1) / kGrain, threads, [&](int64_t task) {
      std::vector<uint32_t> tied;
      std::vector<uint64_t> bitmap(static_cast<size_t>(rows / 64 + 1), 0);
      for (int64_t q = task * kGrain; q < std::min(some.rows, (task + 1) * kGrain); ++q) {
        const int32_t* at = &code_distances[static_cast<size_t>(q * wanted)];
        const int64_t* nearest = &codes[static_cast<size_t>(q * wanted)];
        int32_t* own_distances = distances + (first + q) * k;
        int64_t* own_indices = indices + (first + q) * k;
        const int64_t out = excluded(filter, first + q);
        int64_t found = 0;
        for (int64_t i = 0; i < wanted && found < k;) {
          const int32_t distance = at[i];
          tied.clear();
          for (; i < wanted && at[i] == distance; ++i) distinct.append(nearest[i], k - found + (out >= 0), tied);
          if (out >= 0) std::erase(tied, static_cast<uint32_t>(out));
          const int64_t count = std::min(k - found, static_cast<int64_t>(tied.size()));
          lowest_first(tied, count, bitmap);
          std::fill_n(own_distances + found, count, distance);
          std::copy_n(tied.begin(), count, own_indices + found);
          found += count;
        }
        std::fill(own_distances + found, own_distances + k, kNoDistance);
        std::fill(own_indices + found, own_indices + k, kNoIndex);
      }
    });
  }
}

}  // namespace

void hamming_topk(Codes queries, Codes database, int64_t k, Filter filter, int32_t* distances, int64_t* indices,
                  int threads) {
  if (queries.rows == 0) return;
  expect_large(distances, queries.rows * k * 4);
  expect_large(indices, queries.rows * k * 8);
  if (const auto distinct = Distinct::find(database, filter.mask, queries.rows, threads)) {
    search_distinct(queries, *distinct, database.rows, k, filter, distances, indices, threads);
  } else {
    search_all(queries, database, k, filter, distances, indices, threads);
  }
}

}  // namespace fasthash::cpu

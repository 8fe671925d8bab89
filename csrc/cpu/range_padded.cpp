// SPDX-License-Identifier: Apache-2.0
// Range search into a table of fixed width: as top-k, but from the radius on, and with the count of all that lie within
// it. A query whose buffer was pruned has lost count; those are counted in a pass of their own, which takes no code.
#include <numeric>
#include <utility>

#include "fasthash/count.h"
#include "fasthash/select.h"
#include "scan.h"
#include "threads.h"

namespace fasthash::cpu {
namespace {

constexpr int64_t kMostQueries = 256;
constexpr int64_t kBatchBytes = 16 << 20;  // of a task's keys, unless one query alone needs more
constexpr int64_t kLeastRoom = 48;         // beyond the capacity, so that a small one does not prune at every step

// The nearest codes of one query in one part of the database, in index order; it holds no more than it needs.
class Nearest {
 public:
  Nearest(int64_t capacity, int64_t radius) : capacity_(capacity), radius_(radius) {}

  Selection select(int64_t exclude) { return {nullptr, 0, 0, radius_ + 1, exclude, make_room, this}; }
  void finish(const Selection& selection) {
    keys_.resize(static_cast<size_t>(selection.size));
    keys_.shrink_to_fit();
  }

  const std::vector<uint64_t>& keys() const { return keys_; }
  bool pruned() const { return pruned_; }

 private:
  static void make_room(Selection* selection) {
    auto& self = *static_cast<Nearest*>(selection->owner);
    const int64_t most = self.capacity_ + std::max(self.capacity_, kLeastRoom);
    if (selection->capacity == most) return self.prune(*selection);
    self.keys_.resize(static_cast<size_t>(std::clamp<int64_t>(2 * selection->capacity, kLeastRoom, most)));
    selection->keys = self.keys_.data();
    selection->capacity = static_cast<int64_t>(self.keys_.size());
  }

  // Keeps as many as there is capacity for. A later code at the distance of the last one has a higher index.
  void prune(Selection& selection) {
    pruned_ = true;
    counts_.assign(static_cast<size_t>(radius_ + 1), 0);
    for (int64_t i = 0; i < selection.size; ++i) ++counts_[static_cast<size_t>(distance_of(selection.keys[i]))];
    int64_t last = 0, ties = capacity_;
    while (ties > counts_[static_cast<size_t>(last)]) ties -= counts_[static_cast<size_t>(last++)];
    int64_t kept = 0;
    for (int64_t i = 0; i < selection.size; ++i) {
      const int64_t distance = distance_of(selection.keys[i]);
      if (distance < last || (distance == last && ties-- > 0)) selection.keys[kept++] = selection.keys[i];
    }
    selection.size = kept;
    selection.threshold = last;
  }

  int64_t capacity_, radius_;
  bool pruned_ = false;
  std::vector<uint64_t> keys_;
  std::vector<int64_t> counts_;
};

// Writes the nearest of the parts of one query, which follow each other in index order.
void write(const Nearest* parts, int64_t count, int64_t radius, int64_t capacity, int32_t* distances,
           int64_t* indices) {
  std::vector<int64_t> places(static_cast<size_t>(radius + 1), 0);
  for (int64_t part = 0; part < count; ++part) {
    for (const uint64_t key : parts[part].keys()) ++places[static_cast<size_t>(distance_of(key))];
  }
  int64_t found = 0;
  for (int64_t& place : places) found += std::exchange(place, found);
  for (int64_t part = 0; part < count; ++part) {
    for (const uint64_t key : parts[part].keys()) {
      const int64_t at = places[static_cast<size_t>(distance_of(key))]++;
      if (at >= capacity) continue;
      distances[at] = static_cast<int32_t>(distance_of(key));
      indices[at] = index_of(key);
    }
  }
  for (int64_t at = std::min(found, capacity); at < capacity; ++at) {
    distances[at] = kNoDistance;
    indices[at] = kNoIndex;
  }
}

// counts[i] for the queries i in `chosen`, some at a time.
void count_within(Codes queries, Codes database, int64_t radius, Filter filter, const std::vector<int64_t>& chosen,
                  int64_t* counts, int threads) {
  const int64_t distances = 8 * queries.bytes + 1, some = std::max<int64_t>(1, kBatchBytes / (8 * distances));
  const auto all = static_cast<int64_t>(chosen.size());
  for (int64_t first = 0; first < all; first += some) {
    const int64_t rows = std::min(some, all - first);
    const int64_t* own = &chosen[static_cast<size_t>(first)];
    std::vector<uint8_t> codes(static_cast<size_t>(rows * queries.bytes));
    std::vector<int64_t> exclude(static_cast<size_t>(rows)), histogram(static_cast<size_t>(rows * distances));
    for (int64_t i = 0; i < rows; ++i) {
      std::copy_n(queries.data + own[i] * queries.bytes, queries.bytes, codes.data() + i * queries.bytes);
      exclude[static_cast<size_t>(i)] = excluded(filter, own[i]);
    }
    hamming_histogram({codes.data(), rows, queries.bytes}, database, {filter.mask, exclude.data()}, histogram.data(),
                      threads);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t* row = &histogram[static_cast<size_t>(i * distances)];
      counts[own[i]] = std::accumulate(row, row + radius + 1, int64_t{0});
    }
  }
}

}  // namespace

void hamming_range_padded(Codes queries, Codes database, int64_t radius, int64_t capacity, Filter filter,
                          int64_t* counts, int32_t* distances, int64_t* indices, int threads) {
  if (queries.rows == 0) return;
  const Level& chosen = level();
  radius = std::min(radius, 8 * database.bytes);
  const int64_t kept = std::min(capacity, database.rows);
  const int64_t fitting = kBatchBytes / (8 * (kept + std::max(kept, kLeastRoom)));
  const Cut cut(queries.rows, database.rows, threads, std::clamp<int64_t>(fitting, 1, kMostQueries));
  // With several parts each query's nearest wait here, part after part.
  std::vector<Nearest> waiting;
  if (cut.parts() > 1) waiting.assign(static_cast<size_t>(queries.rows * cut.parts()), Nearest(kept, radius));
  std::vector<uint8_t> uncounted(static_cast<size_t>(queries.rows), 0);

  const auto write_query = [&](int64_t query, const Nearest* parts) {
    write(parts, cut.parts(), radius, capacity, distances + query * capacity, indices + query * capacity);
    counts[query] = 0;
    for (int64_t part = 0; part < cut.parts(); ++part) {
      counts[query] += static_cast<int64_t>(parts[part].keys().size());
      uncounted[static_cast<size_t>(query)] |= parts[part].pruned();
    }
  };

  parallel_for(cut.tasks(), threads, [&](int64_t number) {
    const Task task = cut.task(number);
    std::vector<Nearest> own;
    if (cut.parts() == 1) own.assign(static_cast<size_t>(task.last - task.first), Nearest(kept, radius));
    const auto nearest = [&](int64_t query) -> Nearest& {
      return cut.parts() == 1 ? own[static_cast<size_t>(query - task.first)]
                              : waiting[static_cast<size_t>(query * cut.parts() + task.part)];
    };
    std::vector<Selection> selections;
    for (int64_t i = task.first; i < task.last; ++i) selections.push_back(nearest(i).select(excluded(filter, i)));
    scan(chosen, query_words(queries, task.first, task.last), database, filter, task, selections);
    for (int64_t i = task.first; i < task.last; ++i) {
      nearest(i).finish(selections[static_cast<size_t>(i - task.first)]);
      if (cut.parts() == 1) write_query(i, &nearest(i));
    }
  });
  if (cut.parts() > 1) {
    parallel_for(queries.rows, threads,
                 [&](int64_t i) { write_query(i, &waiting[static_cast<size_t>(i * cut.parts())]); });
  }
  std::vector<int64_t> again;
  for (int64_t i = 0; i < queries.rows; ++i) {
    if (uncounted[static_cast<size_t>(i)] != 0) again.push_back(i);
  }
  if (!again.empty()) count_within(queries, database, radius, filter, again, counts, threads);
}

}  // namespace fasthash::cpu

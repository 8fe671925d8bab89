// SPDX-License-Identifier: Apache-2.0
// Range search: one scan appends what lies within the radius, counting puts it in order once the caller has
// room.
#include "fasthash/select.h"
#include "memory.h"
#include "scan.h"
#include "threads.h"

namespace fasthash::cpu {
namespace {

constexpr int64_t kMostQueries = 256;

void grow(Selection* selection) {
  auto& keys = *static_cast<std::vector<uint64_t>*>(selection->owner);
  keys.resize(std::max<size_t>(64, keys.size() * 2));
  selection->keys = keys.data();
  selection->capacity = static_cast<int64_t>(keys.size());
}

class Found final : public RangeResult {
 public:
  Found(int64_t queries, int64_t parts, int64_t radius)
      : queries_(queries), parts_(parts), radius_(radius), keys_(static_cast<size_t>(queries * parts)) {}

  std::vector<uint64_t>& keys(int64_t query, int64_t part) { return keys_[static_cast<size_t>(query * parts_ + part)]; }
  const std::vector<uint64_t>& keys(int64_t query, int64_t part) const {
    return keys_[static_cast<size_t>(query * parts_ + part)];
  }

  void counts(int64_t* counts) const override {
    for (int64_t i = 0; i < queries_; ++i) {
      counts[i] = 0;
      for (int64_t part = 0; part < parts_; ++part) counts[i] += static_cast<int64_t>(keys(i, part).size());
    }
  }

  void write(const int64_t* offsets, int32_t* distances, int64_t* indices, int threads) const override {
    expect_large(distances, offsets[queries_] * 4);
    expect_large(indices, offsets[queries_] * 8);
    parallel_for(queries_, threads, [&](int64_t i) {
      std::vector<int64_t> place(static_cast<size_t>(radius_ + 2), 0);  // where each distance begins
      for (int64_t part = 0; part < parts_; ++part) {
        for (const uint64_t key : keys(i, part)) ++place[static_cast<size_t>(distance_of(key) + 1)];
      }
      for (size_t d = 1; d < place.size(); ++d) place[d] += place[d - 1];
      for (int64_t part = 0; part < parts_; ++part) {
        for (const uint64_t key : keys(i, part)) {
          const int64_t at = offsets[i] + place[static_cast<size_t>(distance_of(key))]++;
          if (at >= offsets[i + 1]) continue;
          distances[at] = static_cast<int32_t>(distance_of(key));
          indices[at] = index_of(key);
        }
      }
    });
  }

 private:
  int64_t queries_, parts_, radius_;
  std::vector<std::vector<uint64_t>> keys_;  // of each query and part, in index order
};

}  // namespace

std::unique_ptr<RangeResult> hamming_range(Codes queries, Codes database, int64_t radius, Filter filter, int threads) {
  const Level& chosen = level();
  radius = std::min(radius, 8 * database.bytes);
  if (queries.rows == 0) return std::make_unique<Found>(0, 1, radius);
  const Cut cut(queries.rows, database.rows, threads, kMostQueries);
  auto found = std::make_unique<Found>(queries.rows, cut.parts(), radius);
  parallel_for(cut.tasks(), threads, [&](int64_t number) {
    const Task task = cut.task(number);
    std::vector<Selection> selections;
    for (int64_t i = task.first; i < task.last; ++i) {
      selections.push_back({nullptr, 0, 0, radius + 1, excluded(filter, i), grow, &found->keys(i, task.part)});
    }
    scan(chosen, query_words(queries, task.first, task.last), database, filter, task, selections);
    for (int64_t i = task.first; i < task.last; ++i) {
      auto& keys = found->keys(i, task.part);
      keys.resize(static_cast<size_t>(selections[static_cast<size_t>(i - task.first)].size));
      keys.shrink_to_fit();
    }
  });
  return found;
}

}  // namespace fasthash::cpu

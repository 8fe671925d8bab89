// SPDX-License-Identifier: Apache-2.0
// What top-k and range search share: how a call is cut into tasks, and the scan of one task.
#pragma once

#include <algorithm>
#include <vector>

#include "blocks.h"
#include "dispatch.h"
#include "fasthash/types.h"

namespace fasthash::cpu {

inline int64_t distance_of(uint64_t key) {
  return static_cast<int64_t>(key >> 48);
}
inline int64_t index_of(uint64_t key) {
  return static_cast<int64_t>(key & 0xFFFFFFFFFFFFu);
}
inline int64_t excluded(Filter filter, int64_t query) {
  return filter.exclude != nullptr ? filter.exclude[query] : -1;
}

// The place of a database row in a block, or -1.
inline int64_t place_in(const Block& block, int64_t row) {
  if (block.indices == nullptr) return row >= block.first && row < block.first + block.codes ? row - block.first : -1;
  const int64_t* end = block.indices + block.codes;
  const int64_t* found = std::lower_bound(block.indices, end, row);
  return found != end && *found == row ? found - block.indices : -1;
}

// A batch of queries against a part of the database.
struct Task {
  int64_t first, last;  // queries
  int64_t begin, end;   // database rows
  int64_t part;
};

// Many queries are cut into batches, few queries meet parts of the database. The result does not depend on
// the cut, since the order by (distance, index) is total.
class Cut {
 public:
  Cut(int64_t queries, int64_t codes, int threads, int64_t most_queries) : queries_(queries), codes_(codes) {
    const int64_t least = std::min({queries, kLeastQueries, most_queries});
    batch_ = std::clamp((queries + threads - 1) / threads, least, most_queries);
    const int64_t batches = (queries + batch_ - 1) / batch_;
    parts_ = std::clamp<int64_t>(threads / batches, 1, std::max<int64_t>(1, codes / kLeastCodes));
    tasks_ = batches * parts_;
  }

  int64_t tasks() const { return tasks_; }
  int64_t parts() const { return parts_; }
  Task task(int64_t number) const {
    const int64_t first = number / parts_ * batch_, part = number % parts_;
    const int64_t step = (codes_ + parts_ - 1) / parts_;
    const int64_t begin = std::min(codes_, part * step);
    return {first, std::min(queries_, first + batch_), begin, std::min(codes_, begin + step), part};
  }

 private:
  static constexpr int64_t kLeastQueries = 32;     // a smaller batch would spend its time on making blocks
  static constexpr int64_t kLeastCodes = 1 << 14;  // a smaller part is scanned sooner than handed out

  int64_t queries_, codes_, batch_, parts_, tasks_;
};

// Offers every code of the task to the selections of its queries, whose words are `queries`, in index order.
inline void scan(const Level& level, const std::vector<uint64_t>& queries, Codes database, Filter filter,
                 const Task& task, std::vector<Selection>& selections) {
  const auto count = static_cast<int>(selections.size());
  const bool narrow = database.bytes <= kNarrowBytes;
  std::vector<uint32_t> narrow_queries(narrow ? queries.size() : 0);
  std::transform(queries.begin(), queries.begin() + static_cast<int64_t>(narrow_queries.size()), narrow_queries.begin(),
                 [](uint64_t word) { return static_cast<uint32_t>(word); });
  BlockReader reader(level, database, filter.mask, task.begin, task.end, count, narrow);
  const auto wants = [](const Selection& selection) { return selection.threshold > 0; };
  for (Block block; reader.next(block) && std::any_of(selections.begin(), selections.end(), wants);) {
    if (narrow) {
      level.scan_narrow(narrow_queries.data(), count, block, selections.data());
    } else {
      level.scan(queries.data(), count, block, words_of(database.bytes), selections.data());
    }
  }
}

}  // namespace fasthash::cpu

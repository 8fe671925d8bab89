// SPDX-License-Identifier: Apache-2.0
// Every pair of a task, one query and one block at a time: for kernels that count pairs instead of choosing
// codes.
#pragma once

#include <algorithm>
#include <vector>

#include "fasthash/types.h"
#include "scan.h"

namespace fasthash::cpu {

// How many labels the codes of a block share with a query of a task; one or none with class ids.
class Overlaps {
 public:
  Overlaps(const Level& level, Labels labels, const Task& task) : level_(level), labels_(labels), first_(task.first) {
    if (by_sets()) sets_ = query_words({labels.query_sets, task.last, labels.set_bytes}, task.first, task.last);
  }

  void read(const Block& block) {
    codes_ = block.codes;
    const int64_t padded = (codes_ + kLanes - 1) / kLanes * kLanes;
    overlaps_.resize(static_cast<size_t>(padded));
    if (by_sets()) {
      block_sets_.resize(static_cast<size_t>(padded * words_of(labels_.set_bytes)));
      interleave(level_, {labels_.database_sets, 0, labels_.set_bytes}, block.indices, block.first, codes_,
                 block_sets_.data());
    } else {
      block_ids_.resize(static_cast<size_t>(codes_));
      for (int64_t i = 0; i < codes_; ++i) {
        block_ids_[static_cast<size_t>(i)] = labels_.database_ids[block.indices ? block.indices[i] : block.first + i];
      }
    }
  }

  // One number a code of the block.
  const uint16_t* with(int64_t query) {
    if (by_sets()) {
      const int words = words_of(labels_.set_bytes);
      const uint64_t* set = &sets_[static_cast<size_t>((query - first_) * words)];
      level_.overlaps(set, {block_sets_.data(), codes_, 0, nullptr}, words, overlaps_.data());
    } else {
      const int64_t id = labels_.query_ids[query];
      const bool labelled = id >= 0;
      for (size_t i = 0; i < block_ids_.size(); ++i) overlaps_[i] = (block_ids_[i] == id) & labelled;
    }
    return overlaps_.data();
  }

 private:
  bool by_sets() const { return labels_.query_sets != nullptr; }

  const Level& level_;
  Labels labels_;
  int64_t first_, codes_ = 0;
  std::vector<uint64_t> sets_, block_sets_;
  std::vector<int64_t> block_ids_;
  std::vector<uint16_t> overlaps_;
};

// One query against one block. Excluded codes are among them.
struct Pairs {
  int64_t query;
  int64_t codes;
  const uint16_t* distances;
  const uint16_t* overlaps;  // null without labels
};

template <class Visit>
void visit_pairs(const Level& level, Codes queries, Codes database, const Labels* labels, const uint8_t* mask,
                 const Task& task, Visit visit) {
  const int words = words_of(database.bytes);
  const std::vector<uint64_t> rows = query_words(queries, task.first, task.last);
  BlockReader reader(level, database, mask, task.begin, task.end);
  std::vector<uint16_t> distances(static_cast<size_t>(reader.capacity()));
  Overlaps overlaps(level, labels != nullptr ? *labels : Labels{}, task);
  for (Block block; reader.next(block);) {
    if (labels != nullptr) overlaps.read(block);
    for (int64_t i = task.first; i < task.last; ++i) {
      level.distances(&rows[static_cast<size_t>((i - task.first) * words)], block, words, distances.data());
      const uint16_t* shared = labels != nullptr ? overlaps.with(i) : nullptr;
      visit(Pairs{i, block.codes, distances.data(), shared});
    }
  }
}

}  // namespace fasthash::cpu

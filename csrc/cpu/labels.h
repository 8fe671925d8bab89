// SPDX-License-Identifier: Apache-2.0
// The labels of some queries, numbered so that a plane (planes.h) or a group of codes can stand for each.
#pragma once

#include <cstddef>
#include <vector>

#include "fasthash/types.h"

namespace fasthash::cpu {

class OwnLabels {
 public:
  // Of the queries first..last - 1; null = no labels.
  OwnLabels(const Labels* labels, int64_t first, int64_t last);

  // A query's numbers: the bits of its label set, or that of its class, if it has one.
  const uint32_t* of(int64_t query) const {
    return numbers_.data() + begins_[static_cast<std::size_t>(query - first_)];
  }
  int64_t count(int64_t query) const {
    const auto i = static_cast<std::size_t>(query - first_);
    return begins_[i + 1] - begins_[i];
  }

  // How many classes the queries have, and the number of one; classes() stands for all others.
  uint32_t classes() const { return classes_; }
  uint32_t number(int64_t id) const {
    const std::size_t place = find(id);
    return ids_[place] == id && id >= 0 ? id_numbers_[place] : classes_;
  }

 private:
  // The place of an id in the hash table, or the free one where it would stand.
  std::size_t find(int64_t id) const {
    const std::size_t mask = ids_.size() - 1;
    std::size_t place = static_cast<uint64_t>(id) * 0x9E3779B97F4A7C15u >> 32 & mask;
    while (ids_[place] != id && ids_[place] >= 0) place = (place + 1) & mask;
    return place;
  }

  int64_t first_;
  std::vector<uint32_t> numbers_;
  std::vector<int64_t> begins_;  // of each query in numbers_, and the end
  std::vector<int64_t> ids_;     // a hash table, -1 = free
  std::vector<uint32_t> id_numbers_;
  uint32_t classes_ = 0;
};

}  // namespace fasthash::cpu

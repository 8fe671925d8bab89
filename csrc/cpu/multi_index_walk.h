// SPDX-License-Identifier: Apache-2.0
// The steps of a query through a multi-index, and what becomes of the codes that they find.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "fasthash/multi_index.h"
#include "scan.h"

namespace fasthash::cpu {

// What a step costs, in nanoseconds of a thread, measured on an AMD EPYC (family 26) with 10^7 codes: a value of a part
// that is looked up, a row that is compared by what the table has of it, and one whose code is looked at. Only speed
// depends on them.
inline constexpr double kValueCost = 10;
inline constexpr double kRowCost = 2.5;
inline constexpr double kCodeCost = 30;

inline uint64_t key_of(int64_t distance, int64_t row) {
  return static_cast<uint64_t>(distance) << 48 | static_cast<uint64_t>(row);
}

// The k smallest keys of those that come, in any order.
class Nearest {
 public:
  Nearest(int64_t k, int64_t bytes) : k_(k), counts_(static_cast<size_t>(8 * bytes + 1), 0) {}

  // At this distance or above nothing is taken any more.
  int64_t limit() const { return limit_; }

  void take(int64_t distance, int64_t row) {
    const uint64_t key = key_of(distance, row);
    if (key > last_) return;
    ++counts_[static_cast<size_t>(distance)];
    keys_.push_back(key);
    if (static_cast<int64_t>(keys_.size()) < 2 * k_ + kLeastRoom) return;
    std::nth_element(keys_.begin(), keys_.begin() + k_ - 1, keys_.end());
    keys_.resize(static_cast<size_t>(k_));
    last_ = keys_.back();
    limit_ = distance_of(last_) + 1;
  }

  // Whether k keys within a radius have come. One that was refused makes no difference: k smaller ones had come.
  bool complete(int64_t radius) const {
    int64_t found = 0;
    for (int64_t d = 0; d <= radius; ++d) found += counts_[static_cast<size_t>(d)];
    return found >= k_;
  }

  void write(int32_t* distances, int64_t* indices) {
    std::sort(keys_.begin(), keys_.end());
    const auto size = std::min(k_, static_cast<int64_t>(keys_.size()));
    for (int64_t i = 0; i < size; ++i) {
      distances[i] = static_cast<int32_t>(distance_of(keys_[static_cast<size_t>(i)]));
      indices[i] = index_of(keys_[static_cast<size_t>(i)]);
    }
    std::fill(distances + size, distances + k_, kNoDistance);
    std::fill(indices + size, indices + k_, kNoIndex);
  }

 private:
  static constexpr int64_t kLeastRoom = 64;

  int64_t k_;
  std::vector<int64_t> counts_;  // of the keys that were taken, by distance
  std::vector<uint64_t> keys_;
  uint64_t last_ = std::numeric_limits<uint64_t>::max();
  int64_t limit_ = 8 * kMaxBytes + 1;
};

// All keys within a radius.
class Within {
 public:
  explicit Within(int64_t radius) : limit_(radius + 1) {}
  int64_t limit() const { return limit_; }
  void take(int64_t distance, int64_t row) { keys.push_back(key_of(distance, row)); }
  bool complete(int64_t) const { return false; }

  std::vector<uint64_t> keys;

 private:
  int64_t limit_;
};

// What walks may cost, in nanoseconds: each, and what is left for all of them.
struct Budget {
  double each;
  std::atomic<int64_t> left;
};

struct WalkQuery {
  uint64_t word, value;
  const uint8_t* mask;
  int64_t exclude;
};

class Walk {
 public:
  // most_of_value: rows of one value of a part that can matter.
  Walk(const MultiIndex& index, Codes codes, const Level& level, const WalkQuery& query, Budget& budget,
       int64_t most_of_value)
      : index_(index),
        codes_(codes),
        parts_(static_cast<int64_t>(index.parts().size())),
        level_(level),
        query_(query),
        budget_(budget),
        most_of_value_(most_of_value) {}

  // Grows the radius until the selection is complete, or to the last one. False when that would cost too much.
  template <class Selected>
  bool run(int64_t last_radius, Selected& selected) {
    for (int64_t radius = 0; radius <= last_radius; ++radius) {
      const double before = spent_, ahead = index_.step_cost(radius);
      if (spent_ + ahead > budget_.each || ahead > static_cast<double>(budget_.left)) return false;
      const bool done = step(radius, selected);
      budget_.left -= static_cast<int64_t>(spent_ - before);
      if (!done) return false;
      if (selected.complete(radius)) return true;
    }
    return true;
  }

 private:
  static constexpr int64_t kValues = 256;                    // looked up together, so that their cache misses overlap
  static constexpr int64_t kRows = 1024;                     // compared together
  static constexpr uint32_t kAtOnce = MultiIndex::kPadding;  // rows taken from a table
  static constexpr int64_t kRoom = kRows + kAtOnce + kNarrowLanes;

  template <class Selected>
  bool step(int64_t radius, Selected& selected) {
    const MultiIndex::Part& part = index_.parts()[static_cast<size_t>(radius % parts_)];
    const int64_t flips = radius / parts_;
    if (flips > part.width) return true;
    const uint64_t own = part.own(query_.value), end = uint64_t{1} << part.width;
    std::array<uint64_t, kValues> values;
    for (uint64_t pattern = (uint64_t{1} << flips) - 1; pattern < end;) {
      size_t count = 0;
      for (; count < kValues && pattern < end; pattern = next_pattern(pattern, end)) {
        values[count++] = own ^ pattern;
        __builtin_prefetch(&part.starts[own ^ pattern]);
      }
      if (part.rest != nullptr) {
        for (size_t i = 0; i < count; ++i) __builtin_prefetch(&part.rest[part.starts[values[i]]]);
      }
      spent_ += static_cast<double>(count) * kValueCost;
      for (size_t i = 0; i < count; ++i) {
        const uint64_t v = values[i];
        const int64_t stop = std::min<int64_t>(part.starts[v + 1], part.starts[v] + most_of_value_);
        for (int64_t at = part.starts[v]; at < stop;) {  // mostly once
          gather(part, at);
          const auto taken = std::min<int64_t>(stop - at, kAtOnce);
          at += taken;
          waiting_ += taken;
          if (waiting_ > kRows) {
            compare(part, radius, selected);
            if (spent_ > budget_.each) return false;
          }
        }
      }
    }
    compare(part, radius, selected);
    return true;
  }

  // The next larger number with as many ones; nothing below the end comes after 0.
  static uint64_t next_pattern(uint64_t x, uint64_t end) {
    if (x == 0) return end;
    const uint64_t low = x & (~x + 1), carried = x + low;
    return carried | (x ^ carried) >> (2 + std::countr_zero(low));
  }

  // Always as many rows, without a branch on how many there are: a guess at that would be wrong every other time.
  void gather(const MultiIndex::Part& part, int64_t at) {
    uint32_t* places = &places_[static_cast<size_t>(waiting_)];
    for (uint32_t i = 0; i < kAtOnce; ++i) places[i] = static_cast<uint32_t>(at) + i;
    if (part.rest != nullptr) std::memcpy(&rests_[static_cast<size_t>(waiting_)], &part.rest[at], 4 * kAtOnce);
  }

  // What waits: by the other bits that the table has, and what may be near by its code.
  template <class Selected>
  void compare(const MultiIndex::Part& part, int64_t radius, Selected& selected) {
    const int64_t count = std::exchange(waiting_, 0);
    if (count == 0) return;
    spent_ += static_cast<double>(count) * kRowCost;
    const uint32_t rest = part.rest != nullptr ? part.others(query_.value) : 0;
    Selection near{keys_.data(), 0, kRoom, selected.limit() - radius / parts_, -1, nullptr, nullptr};
    if (near.threshold <= 0) return;
    level_.scan_narrow(&rest, 1, {reinterpret_cast<const uint64_t*>(rests_.data()), count, 0}, &near);
    const auto left = static_cast<size_t>(near.size);
    if (left == 0) return;
    spent_ += static_cast<double>(left) * kCodeCost;
    for (size_t i = 0; i < left; ++i) {
      places_[i] = places_[static_cast<size_t>(index_of(keys_[i]))];
      __builtin_prefetch(&part.rows[places_[i]]);
    }
    for (size_t i = 0; i < left; ++i) {
      rows_[i] = part.rows[places_[i]];
      __builtin_prefetch(codes_.data + rows_[i] * codes_.bytes);
    }
    interleave(level_, codes_, rows_.data(), 0, near.size, words_.data());
    level_.distances(&query_.word, {words_.data(), near.size, 0}, 1, distances_.data());
    for (size_t i = 0; i < left; ++i) {
      const int64_t distance = distances_[i], row = rows_[i];
      if (distance >= selected.limit() || (query_.mask != nullptr && query_.mask[row] == 0)) continue;
      if (row != query_.exclude && first_step(words_[i]) == radius) selected.take(distance, row);
    }
  }

  // The step that finds a code first.
  int64_t first_step(uint64_t word) const {
    const uint64_t differing = index_.value(word) ^ query_.value;
    int64_t first = std::numeric_limits<int64_t>::max();
    for (int64_t j = 0; j < parts_; ++j) {
      const int64_t flips = std::popcount(index_.parts()[static_cast<size_t>(j)].own(differing));
      first = std::min(first, flips * parts_ + j);
    }
    return first;
  }

  const MultiIndex& index_;
  Codes codes_;
  int64_t parts_;
  const Level& level_;
  const WalkQuery& query_;
  Budget& budget_;
  double spent_ = 0;
  int64_t most_of_value_;
  int64_t waiting_ = 0;
  std::array<uint32_t, kRoom> places_;
  alignas(64) std::array<uint32_t, kRoom> rests_{};
  std::array<uint64_t, kRoom> keys_;
  std::array<int64_t, kRoom> rows_;
  alignas(64) std::array<uint64_t, kRoom> words_;
  std::array<uint16_t, kRoom> distances_;
};

}  // namespace fasthash::cpu

// SPDX-License-Identifier: Apache-2.0
// Where a search may start: a distance that, going by a sample of the database, a little more than k codes reach.
#pragma once

#include <cmath>
#include <vector>

#include "blocks.h"
#include "fasthash/types.h"

namespace fasthash::cpu {

// Rows at equal steps of the database, interleaved once for all queries of a call.
class Sample {
 public:
  // Empty when it would not pay: for a short scan, or a k so small that the threshold falls quickly by itself.
  Sample(const Level& level, Codes database, const uint8_t* mask, int64_t k) : level_(level), bytes_(database.bytes) {
    const int64_t most = std::min(kMostCodes, kMostBytes / (8 * words_of(bytes_)));
    const int64_t codes = std::min(most, database.rows / kLeastStep);
    if (k < kLeastK || codes < kLeastCodes) return;
    const int64_t step = database.rows / codes;
    std::vector<int64_t> rows;
    for (int64_t row = 0; row < database.rows; row += step) {
      if (mask == nullptr || mask[row] != 0) rows.push_back(row);
    }
    // k codes of the database are `expected` of the sample; three standard deviations more and few searches fail.
    const double expected = static_cast<double>(k) / static_cast<double>(step);
    rank_ = static_cast<int64_t>(expected + 3 * std::sqrt(expected) + 3);
    codes_ = static_cast<int64_t>(rows.size());
    if (rank_ > codes_) return;
    groups_.resize(static_cast<size_t>((codes_ + kLanes - 1) / kLanes * kLanes * words_of(bytes_)));
    interleave(level, database, rows.data(), 0, codes_, groups_.data());
  }

  bool empty() const { return groups_.empty(); }

  // For a query of words_of(bytes) words: codes at this distance or above can be left out, if k others are found. That
  // has to be checked afterwards: the sample may mislead.
  int64_t threshold(const uint64_t* query, std::vector<uint16_t>& distances) const {
    distances.resize(groups_.size() / static_cast<size_t>(words_of(bytes_)));
    level_.distances(query, {groups_.data(), codes_, 0, nullptr}, words_of(bytes_), distances.data());
    int64_t low = 0, high = 8 * bytes_;  // the smallest distance that `rank_` codes of the sample reach
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      const int64_t reached = level_.count_at_most(distances.data(), codes_, static_cast<uint16_t>(middle));
      if (reached >= rank_) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low + 1;
  }

 private:
  static constexpr int64_t kMostCodes = 1 << 14;
  static constexpr int64_t kMostBytes = 1 << 21;
  static constexpr int64_t kLeastStep = 16;
  static constexpr int64_t kLeastCodes = 1 << 12;
  static constexpr int64_t kLeastK = 32;

  const Level& level_;
  int64_t bytes_, codes_ = 0, rank_ = 0;
  std::vector<uint64_t> groups_;
};

}  // namespace fasthash::cpu

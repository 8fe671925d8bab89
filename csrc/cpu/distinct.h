// SPDX-License-Identifier: Apache-2.0
// Databases in which many rows hold the same code: short codes, and long ones of networks that collapse. Their rows are
// grouped by code once for all queries, so that a query meets each code once.
#pragma once

#include <optional>
#include <vector>

#include "fasthash/types.h"

namespace fasthash::cpu {

// The distinct codes of a database, in the order of their first rows, and the rows of each, in order.
class Distinct {
 public:
  // None when grouping would cost more than `queries` scans, shared by `threads`, or when few rows are equal.
  static std::optional<Distinct> find(Codes database, const uint8_t* mask, int64_t queries, int threads);

  Codes codes() const { return {codes_.data(), static_cast<int64_t>(starts_.size()) - 1, bytes_}; }
  // The first rows of a code, at most `most`, are added to `rows`.
  void append(int64_t code, int64_t most, std::vector<uint32_t>& rows) const;

 private:
  explicit Distinct(int64_t bytes) : bytes_(bytes) {}
  bool group(Codes database, const uint8_t* mask, int64_t most_codes);

  int64_t bytes_;
  std::vector<uint8_t> codes_;
  std::vector<uint32_t> starts_, rows_;
};

}  // namespace fasthash::cpu

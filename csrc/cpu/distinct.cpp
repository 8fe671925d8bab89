// SPDX-License-Identifier: Apache-2.0
#include "distinct.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace fasthash::cpu {
namespace {

constexpr int64_t kLeastRows = 1 << 12;
constexpr int64_t kMostRows = 1 << 22;  // 32 MB: a row's code, and its place in the groups
constexpr int64_t kLeastQueries = 256;  // a thread: grouping takes as long as scanning for so many
constexpr int64_t kLeastRowsACode = 16;
constexpr int64_t kSample = 1024;

uint64_t mix(uint64_t x) {
  x *= 0x9E3779B97F4A7C15u;
  return x ^ x >> 32;
}

// Different for different codes of up to eight bytes, for mix can be undone.
uint64_t hash_of(const uint8_t* code, int64_t bytes) {
  uint64_t word = 0, hash = 0;
  if (bytes < 8) {
    for (int64_t i = 0; i < bytes; ++i) word |= uint64_t{code[i]} << 8 * i;
    return mix(word);
  }
  for (int64_t i = 0; i < bytes; i += 8) {
    std::memcpy(&word, code + std::min(i, bytes - 8), 8);
    hash = mix(std::rotl(hash, 23) ^ word);
  }
  return hash;
}

// Numbers codes by their first appearance. Open addressing over a table that is never more than half full.
class Numbers {
 public:
  Numbers(int64_t bytes, int64_t most)
      : bytes_(bytes), most_(most), slots_(std::bit_ceil(static_cast<size_t>(2 * most + 2)), kFree) {}

  int64_t size() const { return static_cast<int64_t>(hashes_.size()); }
  std::vector<uint8_t>& codes() { return codes_; }

  // The number of a code, or -1 when it would be one too many.
  int64_t of(const uint8_t* code) {
    const uint64_t hash = hash_of(code, bytes_);
    for (size_t slot = hash;; ++slot) {
      uint32_t& number = slots_[slot &= slots_.size() - 1];
      if (number == kFree) {
        if (size() == most_) return -1;
        number = static_cast<uint32_t>(size());
        hashes_.push_back(hash);
        codes_.insert(codes_.end(), code, code + bytes_);
        return number;
      }
      if (hashes_[number] == hash && (bytes_ <= 8 || equal(number, code))) return number;
    }
  }

 private:
  static constexpr uint32_t kFree = ~uint32_t{0};

  bool equal(uint32_t number, const uint8_t* code) const {
    return std::memcmp(codes_.data() + number * bytes_, code, static_cast<size_t>(bytes_)) == 0;
  }

  int64_t bytes_, most_;
  std::vector<uint32_t> slots_;
  std::vector<uint64_t> hashes_;
  std::vector<uint8_t> codes_;
};

}  // namespace

std::optional<Distinct> Distinct::find(Codes database, const uint8_t* mask, int64_t queries, int threads) {
  if (queries < kLeastQueries * threads || database.rows < kLeastRows || database.rows > kMostRows) return std::nullopt;
  // Two rows of a database with n equally frequent codes are equal once in n times, so the pairs of a sample tell n.
  Numbers sample(database.bytes, kSample);
  for (int64_t i = 0; i < kSample; ++i) sample.of(database.data + i * database.rows / kSample * database.bytes);
  const int64_t most = database.rows / kLeastRowsACode, equal = kSample - sample.size();
  if (2 * equal * most < kSample * kSample) return std::nullopt;
  Distinct result(database.bytes);
  if (!result.group(database, mask, most)) return std::nullopt;
  return result;
}

bool Distinct::group(Codes database, const uint8_t* mask, int64_t most_codes) {
  constexpr uint32_t kMasked = ~uint32_t{0};
  Numbers numbers(bytes_, most_codes);
  std::vector<uint32_t> number_of(static_cast<size_t>(database.rows), kMasked);
  for (int64_t row = 0; row < database.rows; ++row) {
    if (mask != nullptr && mask[row] == 0) continue;
    const int64_t number = numbers.of(database.data + row * bytes_);
    if (number < 0) return false;
    number_of[static_cast<size_t>(row)] = static_cast<uint32_t>(number);
  }
  starts_.assign(static_cast<size_t>(numbers.size()) + 1, 0);
  for (const uint32_t number : number_of) {
    if (number != kMasked) ++starts_[number];
  }
  uint32_t total = 0;
  for (uint32_t& start : starts_) total += std::exchange(start, total);
  rows_.resize(total);
  for (uint32_t row = 0; row < number_of.size(); ++row) {
    if (number_of[row] != kMasked) rows_[starts_[number_of[row]]++] = row;
  }
  std::rotate(starts_.begin(), starts_.end() - 1, starts_.end());  // each start has become the next one
  starts_[0] = 0;
  codes_ = std::move(numbers.codes());
  return true;
}

void Distinct::append(int64_t code, int64_t most, std::vector<uint32_t>& rows) const {
  const uint32_t begin = starts_[static_cast<size_t>(code)], end = starts_[static_cast<size_t>(code) + 1];
  const auto first = rows_.begin() + begin;
  rows.insert(rows.end(), first, first + std::min<int64_t>(most, end - begin));
}

}  // namespace fasthash::cpu

#include "blocks.h"

#include <algorithm>
#include <cstring>

namespace fasthash::cpu {
namespace {

constexpr int64_t kBlockBytes = 8 * kMostCodes;
constexpr int64_t kPrefetchBytes = 8 * 1024;

}  // namespace

std::vector<uint64_t> query_words(Codes queries, int64_t begin, int64_t end) {
  const int words = words_of(queries.bytes);
  std::vector<uint64_t> result(static_cast<size_t>((end - begin) * words), 0);
  for (int64_t i = begin; i < end; ++i) {
    std::memcpy(&result[static_cast<size_t>((i - begin) * words)], queries.data + i * queries.bytes,
                static_cast<size_t>(queries.bytes));
  }
  return result;
}

void interleave(const Level& level, Codes table, const int64_t* indices, int64_t first, int64_t count, uint64_t* out) {
  static const uint8_t zeros[kMaxBytes] = {};
  const int words = words_of(table.bytes);
  for (int64_t i = 0; i < count; i += kLanes) {
    if (indices == nullptr) {
      // The processor's own prefetch loses the thread between blocks, which are read in bursts.
      const auto ahead = reinterpret_cast<uintptr_t>(table.data) + (first + i) * table.bytes + kPrefetchBytes;
      for (int64_t line = 0; line < kLanes * table.bytes; line += 64) {
        __builtin_prefetch(reinterpret_cast<const void*>(ahead + line));
      }
    }
    const uint8_t* rows[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
      const int64_t row = i + lane < count ? (indices != nullptr ? indices[i + lane] : first + i + lane) : -1;
      rows[lane] = row >= 0 ? table.data + row * table.bytes : zeros;
    }
    level.interleave(rows, table.bytes, out + i * words);
  }
}

BlockReader::BlockReader(const Level& level, Codes database, const uint8_t* mask, int64_t begin, int64_t end)
    : level_(level), database_(database), mask_(mask), position_(begin), end_(end), words_(words_of(database.bytes)) {
  const int64_t fitting = kBlockBytes / (8 * words_) / kLanes * kLanes;
  const int64_t needed = (end - begin + kLanes - 1) / kLanes * kLanes;
  capacity_ = std::max<int64_t>(kLanes, std::min(fitting, needed));
  direct_ = database.bytes == 8 && mask == nullptr;
  scratch_.resize(static_cast<size_t>((direct_ ? kLanes : capacity_) * words_));
  if (mask_ != nullptr) indices_.resize(static_cast<size_t>(capacity_));
}

bool BlockReader::next(Block& block) {
  if (mask_ != nullptr) {
    int64_t count = 0;
    for (; position_ < end_ && count < capacity_; ++position_) {
      indices_[static_cast<size_t>(count)] = position_;  // overwritten when the row is masked
      count += mask_[position_] != 0;
    }
    if (count == 0) return false;
    interleave(level_, database_, indices_.data(), 0, count, scratch_.data());
    block = {scratch_.data(), count, indices_[0], indices_.data()};
    return true;
  }
  if (position_ >= end_) return false;
  int64_t count = std::min(capacity_, end_ - position_);
  if (direct_ && count >= kLanes) {
    count = count / kLanes * kLanes;
    // Unaligned is fine: the levels load it as bytes.
    block = {reinterpret_cast<const uint64_t*>(database_.data + position_ * 8), count, position_, nullptr};
  } else {
    interleave(level_, database_, nullptr, position_, count, scratch_.data());
    block = {scratch_.data(), count, position_, nullptr};
  }
  position_ += count;
  return true;
}

}  // namespace fasthash::cpu

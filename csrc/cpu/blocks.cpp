#include "blocks.h"

#include <algorithm>
#include <cstring>

namespace fasthash::cpu {
namespace {

constexpr int64_t kBlockBytes = 32 * 1024;

// The last, partial word of a row, without touching the byte behind it.
uint64_t partial_word(const uint8_t* bytes, int64_t count) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, static_cast<size_t>(count));
  return word;
}

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

void interleave(Codes table, const int64_t* indices, int64_t first, int64_t count, uint64_t* out) {
  const int64_t bytes = table.bytes, whole = bytes / 8, words = words_of(bytes);
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* row = table.data + (indices != nullptr ? indices[i] : first + i) * bytes;
    uint64_t* lane = out + i / kLanes * words * kLanes + i % kLanes;
    for (int64_t w = 0; w < whole; ++w) std::memcpy(lane + w * kLanes, row + w * 8, 8);
    if (whole < words) lane[whole * kLanes] = partial_word(row + whole * 8, bytes - whole * 8);
  }
  for (int64_t i = count; i % kLanes != 0; ++i) {
    uint64_t* lane = out + i / kLanes * words * kLanes + i % kLanes;
    for (int64_t w = 0; w < words; ++w) lane[w * kLanes] = 0;
  }
}

BlockReader::BlockReader(Codes database, const uint8_t* mask, int64_t begin, int64_t end)
    : database_(database), mask_(mask), position_(begin), end_(end), words_(words_of(database.bytes)) {
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
    interleave(database_, indices_.data(), 0, count, scratch_.data());
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
    interleave(database_, nullptr, position_, count, scratch_.data());
    block = {scratch_.data(), count, position_, nullptr};
  }
  position_ += count;
  return true;
}

}  // namespace fasthash::cpu

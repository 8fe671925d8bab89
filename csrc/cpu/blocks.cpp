// SPDX-License-Identifier: Apache-2.0
#include "blocks.h"

#include <algorithm>
#include <cstring>

namespace fasthash::cpu {
namespace {

constexpr int64_t kLineWords = 8;     // of a cache line
constexpr int64_t kLeastToCopy = 16;  // queries for which a copy that starts at a cache line pays

// Rows no longer than a word as words, one after another.
template <class Word>
void to_words(Codes table, const int64_t* indices, int64_t first, int64_t count, void* out) {
  const auto width = static_cast<int64_t>(sizeof(Word));
  const Word mask = ~Word{0} >> 8 * (width - table.bytes);
  const int64_t last = table.rows * table.bytes - width;  // a whole word can be read up to here
  auto* words = static_cast<uint8_t*>(out);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = (indices != nullptr ? indices[i] : first + i) * table.bytes;
    Word word = 0;
    if (at <= last) {
      std::memcpy(&word, table.data + at, sizeof word);
      word &= mask;
    } else {
      std::memcpy(&word, table.data + at, static_cast<size_t>(table.bytes));
    }
    std::memcpy(words + i * width, &word, sizeof word);
  }
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

void interleave(const Level& level, Codes table, const int64_t* indices, int64_t first, int64_t count, uint64_t* out) {
  static const uint8_t zeros[kMaxBytes] = {};
  const int words = words_of(table.bytes);
  if (table.bytes <= 8) {
    to_words<uint64_t>(table, indices, first, count, out);
    std::fill_n(out + count, -count & (kLanes - 1), 0);
    return;
  }
  int64_t done = 0;
  if (indices == nullptr) {
    done = count / kLanes * kLanes;
    level.interleave_run(table.data + first * table.bytes, done / kLanes, table.bytes, out);
  }
  for (int64_t i = done; i < count; i += kLanes) {
    const uint8_t* rows[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
      const int64_t row = i + lane < count ? (indices != nullptr ? indices[i + lane] : first + i + lane) : -1;
      rows[lane] = row >= 0 ? table.data + row * table.bytes : zeros;
    }
    level.interleave(rows, table.bytes, out + i * words);
  }
}

BlockReader::BlockReader(const Level& level, Codes database, const uint8_t* mask, int64_t begin, int64_t end,
                         int64_t queries, bool narrow)
    : level_(level),
      database_(database),
      mask_(mask),
      position_(begin),
      end_(end),
      words_(words_of(database.bytes)),
      narrow_(narrow) {
  const int64_t fitting = (queries < kLeastToCopy ? kBlockBytes / 4 : kBlockBytes) / (8 * words_) / kLanes * kLanes;
  const int64_t needed = (end - begin + kLanes - 1) / kLanes * kLanes;
  capacity_ = std::max<int64_t>(kLanes, std::min(fitting, needed));
  direct_ = database.bytes == (narrow ? kNarrowBytes : 8) && mask == nullptr && queries < kLeastToCopy;
  scratch_.resize(static_cast<size_t>((direct_ ? kLanes : capacity_) * words_ + kLineWords));
  const auto offset = reinterpret_cast<uintptr_t>(scratch_.data()) / 8 % kLineWords;
  groups_ = scratch_.data() + (kLineWords - offset) % kLineWords;
  if (mask_ != nullptr) indices_.resize(static_cast<size_t>(capacity_));
}

void BlockReader::fill(const int64_t* indices, int64_t first, int64_t count) {
  if (narrow_) {
    to_words<uint32_t>(database_, indices, first, count, groups_);
  } else {
    interleave(level_, database_, indices, first, count, groups_);
  }
}

bool BlockReader::next(Block& block) {
  block = {groups_, 0, position_};
  if (mask_ != nullptr) {
    for (; position_ < end_ && block.codes < capacity_; ++position_) {
      indices_[static_cast<size_t>(block.codes)] = position_;  // overwritten when the row is masked
      block.codes += mask_[position_] != 0;
    }
    if (block.codes == 0) return false;
    block.first = indices_[0];
    block.indices = indices_.data();
    fill(indices_.data(), 0, block.codes);
  } else {
    if (position_ >= end_) return false;
    block.codes = std::min(capacity_, end_ - position_);
    const int64_t lanes = narrow_ ? kNarrowLanes : kLanes;
    if (direct_ && block.codes >= lanes) {
      block.codes = block.codes / lanes * lanes;
      // Unaligned is fine: the levels load it as bytes.
      block.groups = reinterpret_cast<const uint64_t*>(database_.data + position_ * database_.bytes);
    } else {
      fill(nullptr, position_, block.codes);
    }
    position_ += block.codes;
  }
  block.next = database_.data + position_ * database_.bytes;
  block.next_bytes = std::min(capacity_, end_ - position_) * database_.bytes;
  return true;
}

}  // namespace fasthash::cpu

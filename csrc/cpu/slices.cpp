// SPDX-License-Identifier: Apache-2.0
#include "slices.h"

#include <algorithm>
#include <utility>

namespace fasthash::cpu {
namespace {

constexpr int64_t kPlaneBytes = 1 << 20;  // held at a time, unless one slice needs more

Codes label_table(const Labels* labels) {
  if (labels == nullptr || labels->query_ids != nullptr) return {nullptr, 0, 0};
  return {labels->database_sets, 0, labels->set_bytes};
}

}  // namespace

PlaneMaker::PlaneMaker(const Level& level, Codes table)
    : level_(level), table_(table), groups_(static_cast<size_t>(kSliceCodes * words_of(table.bytes))) {}

void PlaneMaker::make(const int64_t* indices, int64_t first, int64_t count, Plane* planes) {
  static const uint8_t zeros[kMaxBytes] = {};
  constexpr int64_t kHalf = kSliceCodes / 2;
  const int words = words_of(table_.bytes);
  uint64_t* group = groups_.data();
  for (int64_t begin = 0; begin < kSliceCodes; begin += kHalf) {
    const uint8_t* rows[kLanes];
    if (indices == nullptr && table_.bytes % 8 == 0 && begin + kHalf <= count) {
      // 64 codes in a row are one long code, whose words, interleaved, are the groups.
      for (int lane = 0; lane < kLanes; ++lane) rows[lane] = table_.data + (first + begin + 64 * lane) * table_.bytes;
      level_.interleave(rows, 64 * table_.bytes, group);
      group += 64 * words * kLanes;
      continue;
    }
    for (int64_t i = begin; i < begin + 64; ++i, group += words * kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const int64_t place = i + 64 * lane;
        const int64_t row = place < count ? (indices != nullptr ? indices[place] : first + place) : -1;
        rows[lane] = row >= 0 ? table_.data + row * table_.bytes : zeros;
      }
      level_.interleave(rows, table_.bytes, group);
    }
  }
  level_.make_planes(groups_.data(), words, 8 * table_.bytes, planes);
}

Slices::Slices(const Level& level, Codes database, int64_t planes, const Labels* labels, const OwnLabels& own,
               const uint8_t* mask, int64_t begin, int64_t end)
    : level_(level),
      own_(own),
      ids_(labels != nullptr ? labels->database_ids : nullptr),
      mask_(mask),
      position_(begin),
      end_(end),
      slice_planes_(planes),
      label_count_(8 * label_table(labels).bytes),
      maker_(level, database),
      label_maker_(level, label_table(labels)) {
  const int64_t slice_bytes = (slice_planes_ + label_count_) * static_cast<int64_t>(sizeof(Plane));
  const int64_t needed = (end - begin + kSliceCodes - 1) / kSliceCodes;
  const int64_t most = std::max<int64_t>(1, std::min({kPlaneBytes / slice_bytes, needed, int64_t{kSlicesCounted}}));
  most_codes_ = most * kSliceCodes;
  planes_.resize(static_cast<size_t>(most * slice_planes_));
  label_planes_.resize(static_cast<size_t>(most * label_count_));
}

int64_t Slices::codes(int64_t slice) const {
  return std::min<int64_t>(kSliceCodes, codes_ - slice * kSliceCodes);
}

bool Slices::next() {
  first_ = position_;
  if (mask_ == nullptr && ids_ == nullptr) {
    codes_ = std::min(most_codes_, end_ - position_);
    position_ += codes_;
  } else {
    read_rows();
  }
  for (int64_t slice = 0; slice < size(); ++slice) {
    const int64_t place = slice * kSliceCodes;
    const int64_t* indices = rows_.empty() ? nullptr : rows_.data() + place;
    maker_.make(indices, first_ + place, codes(slice), &planes_[static_cast<size_t>(slice * slice_planes_)]);
    if (label_count_ > 0) {
      label_maker_.make(indices, first_ + place, codes(slice),
                        &label_planes_[static_cast<size_t>(slice * label_count_)]);
    }
  }
  return codes_ > 0;
}

// The rows that come next, without those masked; by class where there are ids, those of no query's class last.
void Slices::read_rows() {
  rows_.clear();
  for (; position_ < end_ && static_cast<int64_t>(rows_.size()) < most_codes_; ++position_) {
    if (mask_ == nullptr || mask_[position_] != 0) rows_.push_back(position_);
  }
  codes_ = static_cast<int64_t>(rows_.size());
  if (ids_ == nullptr) return;
  begins_.assign(own_.classes() + 2, 0);
  numbers_.clear();
  for (const int64_t row : rows_) {
    numbers_.push_back(own_.number(ids_[row]));
    ++begins_[numbers_.back()];
  }
  int64_t before = 0;
  for (int64_t& begin : begins_) before += std::exchange(begin, before);
  grouped_.resize(rows_.size());
  std::vector<int64_t> next = begins_;
  for (size_t i = 0; i < rows_.size(); ++i) grouped_[static_cast<size_t>(next[numbers_[i]]++)] = rows_[i];
  std::swap(rows_, grouped_);
}

}  // namespace fasthash::cpu

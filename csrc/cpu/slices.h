// SPDX-License-Identifier: Apache-2.0
// A part of the database as bit planes, slice by slice: what counting reads.
#pragma once

#include <vector>

#include "blocks.h"
#include "fasthash/types.h"
#include "labels.h"

namespace fasthash::cpu {

// Turns rows of a table into planes.
class PlaneMaker {
 public:
  PlaneMaker(const Level& level, Codes table);
  // Of up to kSliceCodes rows: those at `indices`, or first, first + 1, ... where that is null. 8 * table.bytes planes.
  void make(const int64_t* indices, int64_t first, int64_t count, Plane* planes);

 private:
  const Level& level_;
  Codes table_;
  std::vector<uint64_t> groups_;
};

// Walks the rows begin..end of a database, some slices at a time. Masked rows are left out here. With class ids the
// codes of a class stand together, so that most slices are relevant to a query as a whole or not at all.
class Slices {
 public:
  // `planes`: of a slice, at least 8 * database.bytes; the others are zero. Labels may be null.
  Slices(const Level& level, Codes database, int64_t planes, const Labels* labels, const OwnLabels& own,
         const uint8_t* mask, int64_t begin, int64_t end);
  // False at the end. What the others return lives until the next call.
  bool next();

  int64_t size() const { return (codes_ + kSliceCodes - 1) / kSliceCodes; }
  int64_t codes(int64_t slice) const;
  const Plane* planes(int64_t slice) const { return &planes_[static_cast<size_t>(slice * slice_planes_)]; }
  // A plane for each label of a set.
  const Plane* labels(int64_t slice) const { return &label_planes_[static_cast<size_t>(slice * label_count_)]; }
  // With class ids: where the codes of a class begin, counted over the slices; they end where the next class begins.
  int64_t begin_of(uint32_t number) const { return begins_[number]; }

 private:
  void read_rows();

  const Level& level_;
  const OwnLabels& own_;
  const int64_t* ids_;
  const uint8_t* mask_;
  int64_t position_, end_, slice_planes_, label_count_, most_codes_;
  int64_t first_ = 0, codes_ = 0;
  PlaneMaker maker_, label_maker_;
  std::vector<Plane> planes_, label_planes_;
  std::vector<int64_t> rows_, grouped_, begins_;
  std::vector<uint32_t> numbers_;
};

}  // namespace fasthash::cpu

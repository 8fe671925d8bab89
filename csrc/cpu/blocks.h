// SPDX-License-Identifier: Apache-2.0
// A database of packed rows, met block by block in the interleaved form that the levels read.
#pragma once

#include <vector>

#include "fasthash/types.h"
#include "level.h"

namespace fasthash::cpu {

inline int words_of(int64_t bytes) {
  return static_cast<int>((bytes + 7) / 8);
}

// Query rows as words, zero-padded: (rows, words).
std::vector<uint64_t> query_words(Codes queries, int64_t begin, int64_t end);

// Interleaves `count` rows of a table: those at `indices`, or first, first + 1, ... where that is null. The
// last group is padded with zero codes.
void interleave(const Level& level, Codes table, const int64_t* indices, int64_t first, int64_t count, uint64_t* out);

// Walks the rows begin..end of a database. Masked rows are left out here, once, so that no kernel meets them.
// Blocks fit the L1 cache, so that all queries of a batch can visit one before the next is made.
class BlockReader {
 public:
  // `queries` will meet each block: for few of them, rows that lie as they should are not copied. `narrow`: blocks are
  // to be narrow.
  BlockReader(const Level& level, Codes database, const uint8_t* mask, int64_t begin, int64_t end, int64_t queries = 1,
              bool narrow = false);
  // False at the end. The block lives until the next call.
  bool next(Block& block);
  // Codes of the largest block, rounded up to whole groups.
  int64_t capacity() const { return capacity_; }

 private:
  void fill(const int64_t* indices, int64_t first, int64_t count);

  const Level& level_;
  Codes database_;
  const uint8_t* mask_;
  int64_t position_, end_;
  int words_;
  int64_t capacity_;
  bool narrow_;
  bool direct_;  // rows as long as a lane, without a mask, are a block as they lie
  std::vector<int64_t> indices_;
  std::vector<uint64_t> scratch_;
  uint64_t* groups_;  // in scratch_, at the start of a cache line
};

}  // namespace fasthash::cpu

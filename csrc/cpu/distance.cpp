// SPDX-License-Identifier: Apache-2.0
#include "fasthash/distance.h"

#include <algorithm>
#include <vector>

#include "blocks.h"
#include "dispatch.h"
#include "memory.h"
#include "threads.h"

namespace fasthash::cpu {
namespace {

using CountRows = decltype(Level::distance_rows);

constexpr int64_t kQueriesATask = 64;
constexpr int64_t kCodesATask = 1 << 16;

// Tasks are tiles of the matrix: rows of `a` times a run of `b`.
void matrix(const Level& chosen, CountRows count, Codes a, Codes b, int32_t* out, int threads) {
  const int64_t row_tiles = (a.rows + kQueriesATask - 1) / kQueriesATask;
  const int64_t column_tiles = (b.rows + kCodesATask - 1) / kCodesATask;
  const int words = words_of(a.bytes);
  expect_large(out, a.rows * b.rows * 4);
  parallel_for(row_tiles * column_tiles, threads, [&](int64_t task) {
    const int64_t row = task / column_tiles * kQueriesATask;
    const int64_t row_end = std::min(a.rows, row + kQueriesATask);
    const int64_t column = task % column_tiles * kCodesATask;
    const std::vector<uint64_t> queries = query_words(a, row, row_end);
    BlockReader reader(chosen, b, nullptr, column, std::min(b.rows, column + kCodesATask), row_end - row);
    for (Block block; reader.next(block);) {
      count(queries.data(), static_cast<int>(row_end - row), block, words, out + row * b.rows + block.first, b.rows);
    }
  });
}

}  // namespace

void hamming_distance(Codes a, Codes b, int32_t* out, int threads) {
  const Level& chosen = level();
  matrix(chosen, chosen.distance_rows, a, b, out, threads);
}

void label_overlap(Codes a, Codes b, int32_t* out, int threads) {
  const Level& chosen = level();
  matrix(chosen, chosen.overlap_rows, a, b, out, threads);
}

}  // namespace fasthash::cpu

// SPDX-License-Identifier: Apache-2.0
// The loop over queries x codes on the b1 tensor cores (sm_80 to sm_90), for codes of up to 128 bytes.
//
// A warp takes 64 queries, whose words stay in its registers, and meets 16 codes at a time; the warps of a block share
// tiles of the database in shared memory, three of which are under way while one is met. With n = popc, the instruction
// adds n(q & d) to what an accumulator holds, so accumulators begin at -n(d) / 2, rounded down: then
//   value = n(q & d) - ceil(n(d) / 2),  distance = n(q) + n(d) - 2 n(q & d) = n(q) - 2 value - (n(d) & 1).
#pragma once

#include "async_copy.cuh"
#include "b1.cuh"
#include "candidates.cuh"

namespace fasthash::cuda {

constexpr int kTensorWarps = 4;
constexpr int kTensorThreads = kTensorWarps * kLanes;
constexpr int kRowTiles = 4;                  // of 16 queries, for each warp
constexpr int kWarpQueries = 16 * kRowTiles;  // 64
constexpr int kColumnTiles = 2;               // of 8 codes, at a time
constexpr int kColumns = 8 * kColumnTiles;    // 16
constexpr int kStages = 4;                    // tiles in shared memory
using Accumulators = int[kColumnTiles][kRowTiles][4];

template <int kWords>
constexpr int kTileRows = kWords >= 16 ? 64 : 128;

struct TensorScan {
  Rows queries;
  Rows database;
  Filter filter;
  int64_t rows;  // of the share that is met
  int64_t tiles;
  int64_t part_tiles;  // of a part
  int64_t parts;
  int query_warps;  // of a block's warps, how many differ in their queries; the others differ in their codes
};

inline int64_t rows_of(Share share, int64_t rows) {
  const int64_t few = ceil_div(rows, kShare);
  return share == Share::kAll ? rows : share == Share::kFew ? few : rows - few;
}
// Which of the group's kShare rows is among the few: always another one, since data may repeat with a period of theirs.
// In the last group, which may not be whole, the first.
__device__ inline int chosen_of(int64_t group, int64_t rows) {
  return (group + 1) * kShare <= rows ? static_cast<int>(static_cast<uint32_t>(group) * 0x9E3779B1u >> 29) : 0;
}

// Rows of a share, from its `first` on; they rise.
template <Share kWhich>
struct ShareRows {
  int64_t rows;  // of the database
  int64_t start;
  int phase = 0;

  __device__ ShareRows(int64_t first, int64_t rows) : rows(rows), start(first) {
    if constexpr (kWhich == Share::kRest) {
      start = first / (kShare - 1);
      phase = static_cast<int>(first % (kShare - 1));
    }
  }
  __device__ int64_t operator[](int i) const {
    if constexpr (kWhich == Share::kAll) return start + i;
    if constexpr (kWhich == Share::kFew) return (start + i) * kShare + chosen_of(start + i, rows);
    constexpr unsigned kOthers = kShare - 1;
    const unsigned place = static_cast<unsigned>(phase + i);
    const int64_t group = start + place / kOthers;
    const int other = static_cast<int>(place % kOthers);
    return group * kShare + other + (other >= chosen_of(group, rows));
  }
};

// What a lane sees of a tile of queries x codes.
struct Spot {
  int64_t first_query;  // of the warp's
  int64_t first;        // of the tile's codes, counted in the share
  int column;           // of the tile's, the first
  int group;            // rows group and group + 8 of each row tile
  int member;           // columns 2 * member and 2 * member + 1 of each column tile

  __device__ int64_t query(int row_tile, int half) const { return first_query + 16 * row_tile + 8 * half + group; }
  // Counted in the tile.
  __device__ int code(int column_tile, int j) const { return column + 8 * column_tile + 2 * member + j; }
};

using Unit = Words<4>;  // what a lane reads from shared memory at once, at most
struct alignas(8) Pair {
  int x, y;
};

// The words of a code that lane member `t` of 4 holds, kWords / 4 of them, in the order of the instructions.
template <int kWords>
struct Fragment {
  uint32_t words[kWords / 4];

  // From a row in shared memory. A code of 128 bytes has its halves swapped in odd rows: else rows would meet in a
  // bank.
  __device__ void load(const Unit* row, bool odd_row, int t) {
    if constexpr (kWords == 4) {
      words[0] = reinterpret_cast<const uint32_t*>(row)[t];
    } else if constexpr (kWords == 8) {
      const Pair pair = reinterpret_cast<const Pair*>(row)[t];
      words[0] = static_cast<uint32_t>(pair.x);
      words[1] = static_cast<uint32_t>(pair.y);
    } else {
#pragma unroll
      for (int i = 0; i < kWords / 16; ++i) {
        const Unit four = row[kWords == 32 ? (4 * i + t) ^ (odd_row ? 4 : 0) : t];
#pragma unroll
        for (int j = 0; j < 4; ++j) words[4 * i + j] = four.word[j];
      }
    }
  }
};

// The sum of a count over the four lanes of a row.
__device__ inline int add_members(int count) {
  count += __shfl_xor_sync(kWholeWarp, count, 1);
  return count + __shfl_xor_sync(kWholeWarp, count, 2);
}

// The words of a warp's queries as the instructions want them: those of rows g and g + 8 side by side.
template <int kWords>
struct QueryFragments {
  static constexpr int kSteps = kWords == 4 ? 1 : kWords / 8;
  Unit words[kRowTiles][kSteps];  // upper, lower, upper, lower; with kWords == 4 the first two alone

  // By way of the warp's own kRowTiles * kSteps * kLanes units of shared memory: a load of a whole unit is what makes
  // the compiler keep it in four registers side by side, else each instruction begins with moves.
  __device__ void load(const Rows& codes, const Spot& spot, Unit* space) {
    const int lane = lane_index();
#pragma unroll 1
    for (int i = 0; i < kRowTiles * 2 * kSteps; ++i) {
      const int half = i % 2;
      const int step = i / 2 % kSteps;
      const int row_tile = i / 2 / kSteps;
      const int64_t row = spot.query(row_tile, half);
      // 64-bit words of a code: a lane has one of each four (kWords <= 8), or two side by side of each eight.
      const int word = kWords == 4   ? spot.member / 2
                       : kWords == 8 ? spot.member
                                     : step / 2 * 8 + 2 * spot.member + step % 2;
      uint64_t both = row < codes.rows && word < words_of(codes) ? load_word(codes, row, word) : 0;
      if (kWords == 4) both = both >> (32 * (spot.member % 2)) & 0xffffffffu;
      uint32_t* to = space[(row_tile * kSteps + step) * kLanes + lane].word;
      to[half] = static_cast<uint32_t>(both);
      to[2 + half] = static_cast<uint32_t>(both >> 32);
    }
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int step = 0; step < kSteps; ++step) words[m][step] = space[(m * kSteps + step) * kLanes + lane];
    }
  }

  __device__ int ones(int m, int half) const {
    int count = 0;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      count += __popc(words[m][step].word[half]) + __popc(words[m][step].word[2 + half]);
    }
    return add_members(count);
  }
};

// Starts the copies of a tile: zero past the end of a row and of the share.
template <int kWords, Share kWhich>
__device__ void fetch_tile(const TensorScan& scan, int64_t first, Unit* tile) {
  constexpr int kBytes = 4 * kWords;
  const ShareRows<kWhich> rows(first, scan.database.rows);
  const int left = static_cast<int>(min(scan.rows - first, int64_t{kTileRows<kWords>}));
  const Rows& database = scan.database;
  const auto place = [&](int row, int byte) {
    return reinterpret_cast<uint8_t*>(tile) + row * kBytes + (kWords == 32 ? byte ^ (64 * (row & 1)) : byte);
  };
  const auto copy = [&](auto bytes) {
    constexpr int kUnit = decltype(bytes)::value;
    for (int i = threadIdx.x; i < kTileRows<kWords> * (kBytes / kUnit); i += blockDim.x) {
      const int row = i / (kBytes / kUnit);
      const int byte = i % (kBytes / kUnit) * kUnit;
      const bool there = row < left && byte < database.bytes;
      const uint8_t* from = database.data + (there ? rows[row] * database.bytes + byte : 0);
      async_copy<kUnit>(place(row, byte), from, there ? kUnit : 0);
    }
  };
  if (database.unit == 16) {
    copy(std::integral_constant<int, 16>{});
  } else if (database.unit == 8) {
    copy(std::integral_constant<int, 8>{});
  } else if (database.unit == 4) {
    copy(std::integral_constant<int, 4>{});
  } else {  // bytes that no copy takes: the threads move them themselves
    for (int i = threadIdx.x; i < kTileRows<kWords> * (kWords / 2); i += blockDim.x) {
      const int row = i / (kWords / 2);
      const int word = i % (kWords / 2);
      const bool there = row < left && word < words_of(database);
      *reinterpret_cast<uint64_t*>(place(row, 8 * word)) = there ? load_word(database, rows[row], word) : 0;
    }
  }
  async_commit();
}

// What a code gets in place of its ones where no query may meet it: no value then reaches a threshold.
constexpr int kNoCode = 1 << 20;

// The ones of each code of a tile, with a minus, by whole warps.
template <int kWords, Share kWhich>
__device__ void count_ones(const TensorScan& scan, int64_t first, const Unit* tile, int* ones) {
  const ShareRows<kWhich> rows(first, scan.database.rows);
  const int64_t left = scan.rows - first;
  const int lane = lane_index();
  for (int own = 8 * warp_index() + lane / 4; own < kTileRows<kWords>; own += 8 * kTensorWarps) {
    Fragment<kWords> code;
    code.load(tile + own * (kWords / 4), own % 2 != 0, lane % 4);
    int count = 0;
#pragma unroll
    for (int i = 0; i < kWords / 4; ++i) count += __popc(code.words[i]);
    count = add_members(count);
    if (own >= left || (scan.filter.mask != nullptr && scan.filter.mask[rows[own]] == 0)) count = kNoCode;
    if (lane % 4 == 0) ones[own] = -count;
  }
}

// One part for the block's queries. The visitor is the warp's own; it gets
//   begin(spot, query_ones)        the ones of its queries, by row tile and half
//   tile(row)                      before each tile, with its first row; rows rise
//   visit(spot, values, ones)      the values of its 64 queries x 16 codes, and of each column -n(d), or -kNoCode
template <int kWords, Share kWhich, class Visitor>
__device__ void scan_tensor_part(const TensorScan& scan, int64_t first_query, int64_t begin, int64_t end,
                                 Visitor& visitor) {
  constexpr int kRows = kTileRows<kWords>;
  constexpr int kUnits = kRows * kWords / 4;
  FASTHASH_SHARED(Unit, tiles, kStages * kUnits);
  FASTHASH_SHARED(Pair, ones, kStages * kRows / 2);
  static_assert(kTensorWarps * kRowTiles * QueryFragments<kWords>::kSteps * kLanes <= kStages * kUnits);
  const int column_warps = kTensorWarps / scan.query_warps;
  const int column_warp = warp_index() / scan.query_warps;

  __syncthreads();  // the tiles of the part before have been met
  QueryFragments<kWords> queries;
  int query_ones[kRowTiles][2];
  Spot spot{first_query + warp_index() % scan.query_warps * kWarpQueries, 0, 0, lane_index() / 4, lane_index() % 4};
  queries.load(scan.queries, spot, tiles + warp_index() * kRowTiles * QueryFragments<kWords>::kSteps * kLanes);
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) query_ones[m][h] = queries.ones(m, h);
  }
  visitor.begin(spot, query_ones);
  __syncthreads();

  const auto fetch = [&](int64_t i, int stage) {
    if (i < end) {
      fetch_tile<kWords, kWhich>(scan, i * kRows, tiles + stage * kUnits);
    } else {
      async_commit();  // keeps the number of groups the same
    }
  };
  const auto count = [&](int64_t i, int stage) {
    if (i < end) count_ones<kWords, kWhich>(scan, i * kRows, tiles + stage * kUnits, &ones[stage * kRows / 2].x);
  };

#pragma unroll 1
  for (int i = 0; i < kStages - 1; ++i) fetch(begin + i, i);
  async_wait<kStages - 2>();
  __syncthreads();
  count(begin, 0);
  int stage = 0;
  for (int64_t i = begin; i < end; ++i, stage = (stage + 1) % kStages) {
    async_wait<kStages - 3>();
    __syncthreads();  // tile i + 1 is there, tile i counted, tile i - 1 met
    fetch(i + kStages - 1, (stage + kStages - 1) % kStages);
    count(i + 1, (stage + 1) % kStages);

    const Unit* tile = tiles + stage * kUnits;
    const Pair* tile_ones = ones + stage * (kRows / 2);
    spot.first = i * kRows;
    visitor.tile(ShareRows<kWhich>(spot.first, scan.database.rows)[0]);
    spot.column = kColumns * column_warp;
    const Unit* next_codes = tile + (spot.column + spot.group) * (kWords / 4);
    const Pair* next_ones = tile_ones + spot.column / 2 + spot.member;
    for (; spot.column < kRows; spot.column += kColumns * column_warps) {
      Accumulators values;
      Pair code_ones[kColumnTiles];
      Fragment<kWords> codes[kColumnTiles];
      int start[kColumnTiles][4];
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) {
        codes[n].load(next_codes + 8 * n * (kWords / 4), spot.group % 2 != 0, spot.member);
        code_ones[n] = next_ones[4 * n];
#pragma unroll
        for (int i = 0; i < 4; ++i) start[n][i] = (i % 2 == 0 ? code_ones[n].x : code_ones[n].y) >> 1;
      }
      next_codes += kColumns * column_warps * (kWords / 4);
      next_ones += kColumns * column_warps / 2;
#pragma unroll
      for (int step = 0; step < QueryFragments<kWords>::kSteps; ++step) {
#pragma unroll
        for (int n = 0; n < kColumnTiles; ++n) {
#pragma unroll
          for (int m = 0; m < kRowTiles; ++m) {
            const int (&before)[4] = step == 0 ? start[n] : values[n][m];
            const uint32_t (&rows)[4] = queries.words[m][step].word;
            if constexpr (kWords == 4) {
              b1_mma_128(values[n][m], rows, codes[n].words[0], before);
            } else {
              b1_mma_256(values[n][m], rows, codes[n].words[2 * step], codes[n].words[2 * step + 1], before);
            }
          }
        }
      }
      visitor.visit(spot, values, code_ones);
    }
  }
}

// All work of the block: parts of the database, for 64 queries a query warp.
template <int kWords, Share kWhich, class Visitor>
__device__ void scan_by_tensor(const TensorScan& scan, Visitor visitor) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ < 1000  // later devices never come here: see choose_path
  const int64_t block_queries = int64_t{kWarpQueries} * scan.query_warps;
  const int64_t query_blocks = (scan.queries.rows + block_queries - 1) / block_queries;
  for (int64_t job = blockIdx.x; job < query_blocks * scan.parts; job += gridDim.x) {
    const int64_t begin = job / query_blocks * scan.part_tiles;  // neighbours share a part, hence the cache
    const int64_t end = begin + scan.part_tiles < scan.tiles ? begin + scan.part_tiles : scan.tiles;
    scan_tensor_part<kWords, kWhich>(scan, job % query_blocks * block_queries, begin, end, visitor);
  }
#endif
}

constexpr int64_t kWantedBlocks = 2048;  // a few for each multiprocessor of a large device
constexpr int64_t kMinPartTiles = 8;     // below this, filling the stages shows

inline TensorScan make_tensor_scan(Codes queries, Codes database, Filter filter, Share share, int tile_rows) {
  const int64_t rows = rows_of(share, database.rows);
  const int64_t tiles = ceil_div(rows, tile_rows);
  const int query_warps = queries.rows <= kWarpQueries ? 1 : queries.rows <= 2 * kWarpQueries ? 2 : kTensorWarps;
  const int64_t query_blocks = std::max<int64_t>(ceil_div(queries.rows, int64_t{kWarpQueries} * query_warps), 1);
  const int64_t wanted =
      std::max<int64_t>(std::min(ceil_div(kWantedBlocks, query_blocks), ceil_div(tiles, kMinPartTiles)), 1);
  const int64_t part_tiles = std::max<int64_t>(ceil_div(tiles, wanted), 1);
  return {rows_of(queries.data, queries.rows, queries.bytes),
          rows_of(database.data, database.rows, database.bytes),
          filter,
          rows,
          tiles,
          part_tiles,
          ceil_div(tiles, part_tiles),
          query_warps};
}

inline int64_t tensor_blocks(const TensorScan& scan) {
  return ceil_div(scan.queries.rows, int64_t{kWarpQueries} * scan.query_warps) * scan.parts;
}

// Calls body with the width of code, in 32-bit words, that the kernels are made for.
template <class Body>
void for_width(int64_t bytes, Body body) {
  if (bytes <= 16) return body(std::integral_constant<int, 4>{});
  if (bytes <= 32) return body(std::integral_constant<int, 8>{});
  if (bytes <= 64) return body(std::integral_constant<int, 16>{});
  body(std::integral_constant<int, 32>{});
}

}  // namespace fasthash::cuda

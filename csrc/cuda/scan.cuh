// SPDX-License-Identifier: Apache-2.0
// The one loop over queries x codes that every kernel family visits: exact bit counts by popcount.
//
// A block keeps a tile of queries in shared memory, and each of its warps takes a part of the database. A lane holds
// the words of its own few codes in registers and meets the queries of the tile one after the other, by broadcast:
//
//   with_words(scan, [&](auto words) { launch(op, kernel<words>, scan_blocks(scan), ..., scan, ...); });
//
//   for_each_tile<kWords, Xor>(scan, [&](const Tile& tile) {          // whole blocks
//     scan_tile<kWords, Xor>(scan, tile, [&](int slot, int64_t first, const auto& counts) {   // whole warps
//       // query tile.first + slot; counts[j] belongs to row first + 32 * j + lane
//     });
//   });
//
// A warp sees the rows of its part in order, 32 * kCodes of them a step, and in each step all queries; that order is
// what lets results be placed by counting. Rows that a query may not meet (past the end of the part, masked, excluded)
// count kMissing or more: a visitor that compares counts needs no other test. A function before the visitor, where
// there is one, is called with `first` when a step begins, for what belongs to rows.
//
// Lanes load their rows directly, by the widest load that all row starts allow. Each row is another 16 bytes to 8 KB
// away, so a load of a warp touches up to 32 lines; but the words of a row serve a whole tile of queries, the rest of
// a line is met in the L1 cache by the loads that follow, and 32 lines a load take, at 1,024 bits and 64 queries, an
// eighth of the popcounts' time. Turning rows in shared memory would need that memory, which counts want, and barriers.
#pragma once

#include "bits.cuh"
#include "scan_plan.cuh"

namespace fasthash::cuda {

// A tile of queries and the part of the calling warp: empty (begin = end) where there are more warps than parts.
struct Tile {
  int64_t first;
  int queries;
  int64_t part;
  int64_t begin;
  int64_t end;
};

template <class T>
__device__ T* own_shared(const Scan& scan) {
  return reinterpret_cast<T*>(dynamic_shared<unsigned char>() + scan_bytes(scan));
}

// Rows of a step, `left` of them from row `first` on: the words of a lane's codes, first + 32 * j + lane, from word
// `word` on. Past the last row, those of the last row.
template <int kUnit, int kCodes, int kBlocks, int kBlock>
__device__ void load_codes_by(const Scan& scan, int64_t first, int left, int word,
                              uint32_t (&codes)[kCodes][kBlocks][kBlock]) {
  constexpr int kWidest = kUnit < 4 * kBlock ? kUnit : 4 * kBlock;
  const uint8_t* start = scan.database.data + first * scan.database.bytes + 4 * word;
  const int bytes = static_cast<int>(scan.database.bytes);
#pragma unroll
  for (int j = 0; j < kCodes; ++j) {
    const uint8_t* row = start + min(j * kLanes + lane_index(), left - 1) * bytes;
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      const int before = b * 4 * kBlock;
      load_words<kWidest>(row + before, bytes - 4 * word - before, codes[j][b]);
    }
  }
}
template <class Combine, bool kChunk, int kCodes, int kBlocks, int kBlock>
__device__ void load_codes(const Scan& scan, int64_t first, int left, int word,
                           uint32_t (&codes)[kCodes][kBlocks][kBlock]) {
  constexpr bool kByBytes = kChunk || kBlock < 8;  // others go by chunks, see make_scan
  if (kBlock >= 4 && scan.database.unit == 16) {
    load_codes_by<16>(scan, first, left, word, codes);
  } else if (kBlock >= 2 && scan.database.unit >= 8) {
    load_codes_by<8>(scan, first, left, word, codes);
  } else if (!kByBytes || scan.database.unit >= 4) {
    load_codes_by<4>(scan, first, left, word, codes);
  } else if constexpr (kByBytes) {
    load_codes_by<1>(scan, first, left, word, codes);
  }
#pragma unroll
  for (int j = 0; j < kCodes; ++j) {
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) Combine::prepare(codes[j][b]);
  }
}

// Ones of query and code, for the codes of a lane: adds to counts.
template <class Combine, int kCodes, int kBlocks, int kBlock>
__device__ void add_counts(const uint32_t* query, const uint32_t (&codes)[kCodes][kBlocks][kBlock],
                           int (&counts)[kCodes]) {
  constexpr int kAtOnce = kBlock < 4 ? kBlock : 4;
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) {
    uint32_t words[kBlock];
#pragma unroll
    for (int i = 0; i < kBlock; i += kAtOnce) {
      const Words<kAtOnce> loaded = *reinterpret_cast<const Words<kAtOnce>*>(query + b * kBlock + i);
#pragma unroll
      for (int w = 0; w < kAtOnce; ++w) words[i + w] = loaded.word[w];
    }
#pragma unroll
    for (int j = 0; j < kCodes; ++j) counts[j] = Combine::count(words, codes[j][b], counts[j]);
  }
}

// 0 for rows that exist and are not masked, a multiple of kMissing for others. (Not a choice between the two: the
// compiler would make that anew for each query.)
template <int kCodes>
__device__ void start_counts(const Scan& scan, int64_t first, int left, int (&counts)[kCodes]) {
  const uint8_t* mask = scan.filter.mask == nullptr ? nullptr : scan.filter.mask + first;
#pragma unroll
  for (int j = 0; j < kCodes; ++j) {
    const int row = j * kLanes + lane_index();
    counts[j] = max(row - left + 1, 0) << kMissingBits;
    if (mask != nullptr && row < left && mask[row] == 0) counts[j] = kMissing;
  }
}

template <int kCodes>
__device__ void leave_out_excluded(const Scan& scan, int slot, int64_t first, int (&counts)[kCodes]) {
  if (scan.filter.exclude == nullptr) return;
  const int64_t* excluded = reinterpret_cast<const int64_t*>(dynamic_shared<unsigned char>() + query_bytes(scan));
  const int64_t away = excluded[slot] - first;
  if (away < 0 || away >= kCodes * kLanes) return;
  const int own = static_cast<int>(away) - lane_index();
#pragma unroll
  for (int j = 0; j < kCodes; ++j) {
    if (own == j * kLanes) counts[j] = kMissing;
  }
}

template <int kWords, class Combine, class BeginStep, class Visit>
__device__ void scan_tile(const Scan& scan, const Tile& tile, BeginStep begin_step, Visit visit) {
  using Its = Shape<kWords>;
  constexpr int kCodes = Its::kCodes;
  const uint32_t* queries = dynamic_shared<uint32_t>();

  for (int64_t first = tile.begin; first < tile.end; first += Its::kStep) {
    const int left = static_cast<int>(min(tile.end - first, int64_t{Its::kStep}));
    int starts[kCodes];
    start_counts(scan, first, left, starts);
    begin_step(first);
    if constexpr (kWords != kChunked) {
      uint32_t codes[kCodes][kWords / Its::kBlock][Its::kBlock];
      load_codes<Combine, false>(scan, first, left, 0, codes);
#pragma unroll 1
      for (int slot = 0; slot < tile.queries; ++slot) {
        int counts[kCodes];
#pragma unroll
        for (int j = 0; j < kCodes; ++j) counts[j] = starts[j];
        add_counts<Combine>(queries + slot * kWords, codes, counts);
        leave_out_excluded(scan, slot, first, counts);
        visit(slot, first, counts);
      }
    } else {
      int counts[kChunkedQueries][kCodes];
#pragma unroll
      for (int slot = 0; slot < kChunkedQueries; ++slot) {
#pragma unroll
        for (int j = 0; j < kCodes; ++j) counts[slot][j] = starts[j];
      }
      for (int word = 0; word < scan.padded_words; word += Its::kBlock) {
        uint32_t codes[kCodes][1][Its::kBlock];
        load_codes<Combine, true>(scan, first, left, word, codes);
#pragma unroll
        for (int slot = 0; slot < kChunkedQueries; ++slot) {
          if (slot < tile.queries) add_counts<Combine>(queries + slot * scan.padded_words + word, codes, counts[slot]);
        }
      }
      // The counts move down by a place, since registers have no index: one copy of the visitor serves all.
#pragma unroll 1
      for (int slot = 0; slot < tile.queries; ++slot) {
        leave_out_excluded(scan, slot, first, counts[0]);
        visit(slot, first, counts[0]);
#pragma unroll
        for (int next = 1; next < kChunkedQueries; ++next) {
#pragma unroll
          for (int j = 0; j < kCodes; ++j) counts[next - 1][j] = counts[next][j];
        }
      }
    }
  }
}

template <int kWords, class Combine, class Visit>
__device__ void scan_tile(const Scan& scan, const Tile& tile, Visit visit) {
  scan_tile<kWords, Combine>(scan, tile, [](int64_t) {}, visit);
}

// Query words, prepared, and excluded rows of a tile to shared memory; by the whole block.
template <int kWords, class Combine>
__device__ void stage_queries(const Scan& scan, const Tile& tile) {
  constexpr int kBlock = Shape<kWords>::kBlock;
  uint32_t* staged = dynamic_shared<uint32_t>();
  const int blocks = scan.padded_words / kBlock;
  for (int i = threadIdx.x; i < tile.queries * blocks; i += blockDim.x) {
    const int before = i % blocks * 4 * kBlock;
    const uint8_t* source = scan.queries.data + (tile.first + i / blocks) * scan.queries.bytes + before;
    const int left = static_cast<int>(scan.queries.bytes) - before;
    uint32_t words[kBlock];
    if (scan.queries.unit >= 4) {
      load_words<4>(source, left, words);
    } else {
      load_words<1>(source, left, words);
    }
    Combine::prepare(words);
#pragma unroll
    for (int w = 0; w < kBlock; ++w) staged[i * kBlock + w] = words[w];
  }
  if (scan.filter.exclude == nullptr) return;
  int64_t* excluded = reinterpret_cast<int64_t*>(dynamic_shared<unsigned char>() + query_bytes(scan));
  for (int i = threadIdx.x; i < tile.queries; i += blockDim.x) excluded[i] = scan.filter.exclude[tile.first + i];
}

__device__ inline bool is_answered(const Scan& scan, int64_t query) {
  return scan.answered != nullptr && scan.answered[query] != 0;
}

__device__ inline bool all_answered(const Scan& scan, const Tile& tile) {
  if (scan.answered == nullptr) return false;
  bool open = false;
  for (int i = lane_index(); i < tile.queries; i += kLanes) open |= !is_answered(scan, tile.first + i);
  return !__any_sync(kWholeWarp, open);
}

// All work of the block: calls body(tile) with whole blocks, the queries of the tile in place.
template <int kWords, class Combine, class Body>
__device__ void for_each_tile(const Scan& scan, Body body) {
  const int64_t tiles = (scan.queries.rows + scan.tile - 1) / scan.tile;
  const int64_t warps = blockDim.x / kLanes;
  const int64_t shares = (scan.parts + warps - 1) / warps;
  for (int64_t job = blockIdx.x; job < tiles * shares; job += gridDim.x) {
    Tile tile;
    tile.first = job % tiles * scan.tile;  // neighbours share parts, hence the cache
    tile.queries = static_cast<int>(min(int64_t{scan.tile}, scan.queries.rows - tile.first));
    tile.part = job / tiles * warps + warp_index();
    tile.begin = min(tile.part * scan.part_rows, scan.database.rows);
    tile.end = min(tile.begin + scan.part_rows, scan.database.rows);
    if (all_answered(scan, tile)) continue;
    __syncthreads();  // all have left the tile before
    stage_queries<kWords, Combine>(scan, tile);
    __syncthreads();
    body(tile);
  }
}

}  // namespace fasthash::cuda

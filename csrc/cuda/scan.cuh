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

#include <type_traits>

#include "bits.cuh"
#include "rows.cuh"

namespace fasthash::cuda {

constexpr int kMaxWarps = 8;
constexpr int kMaxThreads = kMaxWarps * kLanes;
constexpr int kMissing = 1 << 28;
constexpr int64_t kSharedBytes = int64_t{48} << 10;  // of a block, without opting in
#ifdef FASTHASH_EMULATION
constexpr int64_t kTileQueries = 6;
constexpr int64_t kMinPartRows = 128;
#else
constexpr int64_t kTileQueries = 64;
constexpr int64_t kMinPartRows = 1024;  // below this, a part's own costs show
#endif
constexpr int64_t kMaxPartRows = int64_t{1} << 28;  // the parts of a block are counted in 32 bits
constexpr int64_t kWantedWarps = 8192;              // what fills a large device

// Widths of codes, in 32-bit words, that have kernels of their own: 1, 2, 4, 8, 16, 24, 32. All others go by chunks.
constexpr int kChunked = 0;

template <int kWords>
struct Shape {
  static constexpr int kBlock = kWords == kChunked || kWords > 8 ? 8 : kWords;  // words added up at a time
  // Codes of a lane: enough bytes in flight that one query is bound by memory, and shared memory read once for several.
  static constexpr int kCodes = kWords == kChunked || kWords > 4 ? 2 : kWords == 4 ? 4 : 8;
  static constexpr int kStep = kCodes * kLanes;
  // Blocks of a multiprocessor: leaves registers enough that no scan spills.
  static constexpr int kMinBlocks = kWords > 8 || kWords == kChunked ? 2 : 3;
};
// For kernels that keep more than a bound at hand.
constexpr int kHeavyMinBlocks = 2;
// Queries of a tile of chunked codes: their counts stay in registers from chunk to chunk.
constexpr int kChunkedQueries = kTileQueries < 16 ? 3 : 16;

// What a launch scans. The split into parts follows from the sizes alone, never from the device.
struct Scan {
  Rows queries;
  Rows database;
  Filter filter;
  const int32_t* answered;  // one flag a query, or null: a tile of answered queries is left out
  int64_t parts;
  int64_t part_rows;
  int words;         // for which the kernel is compiled
  int padded_words;  // of a query in shared memory
  int tile;          // queries of a tile, at most
  int warps;         // of a block
};

// A tile of queries and the part of the calling warp: empty (begin = end) where there are more warps than parts.
struct Tile {
  int64_t first;
  int queries;
  int64_t part;
  int64_t begin;
  int64_t end;
};

inline int padded_words(int64_t bytes) {
  const int64_t words = ceil_div(bytes, 4);
  return static_cast<int>(words <= 2 ? std::max<int64_t>(words, 1) : words <= 4 ? 4 : ceil_div(words, 8) * 8);
}

// Queries for which shared memory has room, each with `own_bytes` of the kernel's own; 0 = none.
inline int64_t tile_room(int64_t bytes, int64_t own_bytes) {
  return (kSharedBytes - 32) / (4 * padded_words(bytes) + static_cast<int64_t>(sizeof(int64_t)) + own_bytes);
}
// Queries of a tile, at most.
inline int64_t max_tile(int64_t bytes, int64_t own_bytes = 0) {
  const int64_t most = padded_words(bytes) > 32 ? kChunkedQueries : kTileQueries;
  return std::max<int64_t>(std::min(tile_room(bytes, own_bytes), most), 1);
}

// How finely the database is split: into enough parts to fill a device, but, memory allowing no more, `max_parts`.
inline int64_t count_parts(int64_t queries, int64_t database, int64_t max_parts, int64_t tile) {
  const int64_t tiles = std::max<int64_t>(ceil_div(queries, tile), 1);
  const int64_t least = std::max<int64_t>(ceil_div(database, kMaxPartRows), 1);
  const int64_t parts = std::min({ceil_div(kWantedWarps, tiles), max_parts, ceil_div(database, kMinPartRows)});
  return std::max(parts > kMaxWarps ? parts / kMaxWarps * kMaxWarps : parts, least);
}

// The same scan with tiles of `tile` queries at most, of equal size, and blocks of `warps`.
inline Scan tiled(Scan scan, int64_t tile, int64_t warps = kMaxWarps) {
  if (scan.words == kChunked) tile = std::min<int64_t>(tile, kChunkedQueries);
  const int64_t tiles = std::max<int64_t>(ceil_div(scan.queries.rows, tile), 1);
  scan.tile = static_cast<int>(std::max<int64_t>(ceil_div(scan.queries.rows, tiles), 1));
  scan.warps = static_cast<int>(std::min(scan.parts, warps));
  return scan;
}

// The same scan, by chunks whatever the width.
inline Scan by_chunks(Scan scan) {
  scan.words = kChunked;
  scan.padded_words = static_cast<int>(ceil_div(scan.padded_words, 8) * 8);
  return scan;
}

inline Scan make_scan(Codes queries, Codes database, Filter filter, const int32_t* answered, int64_t parts) {
  const int words = padded_words(database.bytes);
  Scan scan{rows_of(queries.data, queries.rows, queries.bytes),
            rows_of(database.data, database.rows, database.bytes),
            filter,
            answered,
            parts,
            ceil_div(database.rows, parts),
            words,
            words,
            1,
            1};
  // Rows that only single bytes reach take many loads: where they are long, they go by chunks too.
  if (words > 32 || (words > 4 && scan.database.unit == 1)) scan = by_chunks(scan);
  return tiled(scan, max_tile(database.bytes));
}
inline Scan make_scan(Codes queries, Codes database, Filter filter) {
  const int64_t parts = count_parts(queries.rows, database.rows, database.rows, max_tile(database.bytes));
  return make_scan(queries, database, filter, nullptr, parts);
}

inline int scan_threads(const Scan& scan) {
  return scan.warps * kLanes;
}
inline int64_t scan_blocks(const Scan& scan) {
  return ceil_div(scan.queries.rows, scan.tile) * ceil_div(scan.parts, scan.warps);
}
// Words of a tile, then what to exclude, then what the kernel wants: each begins at a multiple of 16 bytes.
__host__ __device__ inline int64_t query_bytes(const Scan& scan) {
  return (int64_t{scan.tile} * scan.padded_words + 3) / 4 * 16;
}
__host__ __device__ inline int64_t scan_bytes(const Scan& scan) {
  return query_bytes(scan) + (int64_t{scan.tile} + 1) / 2 * 16;
}
template <class T>
__device__ T* own_shared(const Scan& scan) {
  return reinterpret_cast<T*>(dynamic_shared<unsigned char>() + scan_bytes(scan));
}

// Calls body with the number of words that the kernel is to be compiled for, as a std::integral_constant.
template <class Body>
void with_words(const Scan& scan, Body body) {
  switch (scan.words) {
    case 1:
      return body(std::integral_constant<int, 1>{});
    case 2:
      return body(std::integral_constant<int, 2>{});
    case 4:
      return body(std::integral_constant<int, 4>{});
    case 8:
      return body(std::integral_constant<int, 8>{});
    case 16:
      return body(std::integral_constant<int, 16>{});
    case 24:
      return body(std::integral_constant<int, 24>{});
    case 32:
      return body(std::integral_constant<int, 32>{});
    default:
      return body(std::integral_constant<int, kChunked>{});
  }
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

// 0 for rows that exist and are not masked.
template <int kCodes>
__device__ void start_counts(const Scan& scan, int64_t first, int left, int (&counts)[kCodes]) {
  const uint8_t* mask = scan.filter.mask == nullptr ? nullptr : scan.filter.mask + first;
#pragma unroll
  for (int j = 0; j < kCodes; ++j) {
    const int row = j * kLanes + lane_index();
    counts[j] = row < left && (mask == nullptr || mask[row] != 0) ? 0 : kMissing;
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

// SPDX-License-Identifier: Apache-2.0
// How a scan is cut into tiles of queries and parts of the database, and for which widths of codes it is compiled.
#pragma once

#include <type_traits>

#include "rows.cuh"

namespace fasthash::cuda {

constexpr int kMaxWarps = 8;
constexpr int kMaxThreads = kMaxWarps * kLanes;
constexpr int kMissingBits = 20;
constexpr int kMissing = 1 << kMissingBits;          // more than any count
constexpr int64_t kSharedBytes = int64_t{48} << 10;  // of a block, without opting in
#ifdef FASTHASH_EMULATION
constexpr int64_t kTileQueries = 6;
constexpr int64_t kWantedWarps = 24;
constexpr int64_t kMinPartRows = 128;
#else
constexpr int64_t kTileQueries = 64;
constexpr int64_t kWantedWarps = 8192;  // what fills a large device
constexpr int64_t kMinPartRows = 1024;  // below this, a part's own costs show
#endif
constexpr int64_t kMaxPartRows = int64_t{1} << 28;  // the parts of a block are counted in 32 bits

// Codes of up to 1, 2, 4, 8, 16, 24, 32 words of 32 bits have kernels of their own. All others go by chunks.
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

inline int padded_words(int64_t bytes) {
  const int64_t words = ceil_div(bytes, 4);
  return static_cast<int>(words <= 2 ? std::max<int64_t>(words, 1) : words <= 4 ? 4 : ceil_div(words, 8) * 8);
}

// Queries for which shared memory has room, each with `own_bytes` of the kernel's own; 0 = none.
inline int64_t tile_room(int64_t bytes, int64_t own_bytes) {
  const int64_t query_bytes = 4 * std::max(padded_words(bytes), 8);  // as by chunks
  return (kSharedBytes - 32) / (query_bytes + static_cast<int64_t>(sizeof(int64_t)) + own_bytes);
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

// Calls body with the number of words that the kernel is to be compiled for, as a std::integral_constant: for a family
// that is compiled for at most kMost words, and by chunks, with scans of `compiled_for`.
template <int kMost = 32, class Body>
void with_words(const Scan& scan, Body body) {
  if (scan.words == 1) return body(std::integral_constant<int, 1>{});
  if (scan.words == 2) return body(std::integral_constant<int, 2>{});
  if (scan.words == 4) return body(std::integral_constant<int, 4>{});
  if constexpr (kMost >= 16) {
    if (scan.words == 8) return body(std::integral_constant<int, 8>{});
    if (scan.words == 16) return body(std::integral_constant<int, 16>{});
  }
  if constexpr (kMost >= 32) {
    if (scan.words == 24) return body(std::integral_constant<int, 24>{});
    if (scan.words == 32) return body(std::integral_constant<int, 32>{});
  }
  body(std::integral_constant<int, kChunked>{});
}
template <int kMost>
Scan compiled_for(const Scan& scan) {
  return scan.words > kMost ? by_chunks(scan) : scan;
}

}  // namespace fasthash::cuda

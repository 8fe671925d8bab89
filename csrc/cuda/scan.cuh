// The one loop over queries x codes that every kernel family visits: exact bit counts by popcount.
//
// A block's warps take one query each and walk one part of the database together, a tile of kTile codes at a time.
// Tiles are staged in shared memory as whole 64-bit words, zero-padded, so rows of any width and alignment meet the
// same inner loop: a lane holds the counts of kTile / 32 codes in registers. A warp sees its part in index order, which
// is what lets results be placed by counting.
#pragma once

#include "common.cuh"

namespace fasthash::cuda {

constexpr int kTile = 256;           // codes a tile
constexpr int kDepth = 4;            // words of a code staged at a time
constexpr int kStride = kDepth + 1;  // odd, so that the lanes of a warp read from different banks
constexpr int kMaxWarps = 8;
constexpr int kMaxThreads = kMaxWarps * kLanes;
constexpr int kMinBlocks = 3;  // on a multiprocessor: leaves registers enough that no scan spills

// Rows of bytes, and the widest load that every row start allows: 8, 4 or 1 bytes.
struct Rows {
  const uint8_t* data;
  int64_t rows;
  int64_t bytes;
  int unit;
};

inline Rows rows_of(const uint8_t* data, int64_t rows, int64_t bytes) {
  const uint64_t bits = reinterpret_cast<uintptr_t>(data) | static_cast<uint64_t>(bytes);
  return {data, rows, bytes, bits % 8 == 0 ? 8 : bits % 4 == 0 ? 4 : 1};
}

__device__ inline int64_t words_of(const Rows& codes) {
  return (codes.bytes + 7) / 8;
}

// Bytes 8 * i .. 8 * i + 7 of a row, zero past its end.
__device__ inline uint64_t load_word(const Rows& codes, int64_t row, int64_t i) {
  const uint8_t* source = codes.data + row * codes.bytes + 8 * i;
  const int64_t left = codes.bytes - 8 * i;
  if (codes.unit == 8) return *reinterpret_cast<const uint64_t*>(source);
  if (codes.unit == 4) {
    const uint32_t* halves = reinterpret_cast<const uint32_t*>(source);
    return left > 4 ? halves[0] | uint64_t{halves[1]} << 32 : halves[0];
  }
  uint64_t word = 0;
  for (int b = 0; b < 8 && b < left; ++b) word |= uint64_t{source[b]} << (8 * b);
  return word;
}

// What a launch scans. The split into parts follows from the sizes alone, never from the device.
struct Scan {
  Rows queries;
  Rows database;
  Filter filter;
  int64_t parts;
  int64_t part_rows;
};

constexpr int64_t kMinPartRows = 4 * kTile;         // below this, a part's own costs show
constexpr int64_t kMaxPartRows = int64_t{1} << 31;  // a part is counted in 32 bits
constexpr int64_t kWantedWarps = 8192;              // what fills a large device

// How finely the database is split: into enough parts to fill a device, but, memory allowing no more, `max_parts`.
inline int64_t count_parts(int64_t queries, int64_t database, int64_t max_parts) {
  const int64_t wanted = std::min(ceil_div(kWantedWarps, std::max<int64_t>(queries, 1)), max_parts);
  const int64_t least = std::max<int64_t>(ceil_div(database, kMaxPartRows), 1);
  return std::max(std::min(wanted, ceil_div(database, kMinPartRows)), least);
}

inline Scan make_scan(Codes queries, Codes database, Filter filter, int64_t parts) {
  return {rows_of(queries.data, queries.rows, queries.bytes), rows_of(database.data, database.rows, database.bytes),
          filter, parts, ceil_div(database.rows, parts)};
}

// Warps of a block: no more than there are queries.
inline int scan_warps(const Scan& scan, int64_t most = kMaxWarps) {
  return static_cast<int>(std::max<int64_t>(std::min(scan.queries.rows, most), 1));
}
inline int64_t scan_blocks(const Scan& scan, int warps) {
  return ceil_div(scan.queries.rows, warps) * scan.parts;
}

// Whether a query may meet a row: the row exists, is not masked, and is not the query's own.
struct Allowed {
  int64_t end;
  const uint8_t* mask;
  int64_t excluded;

  __device__ bool operator()(int64_t row) const {
    return row < end && row != excluded && (mask == nullptr || mask[row] != 0);
  }
};

struct Xor {
  __device__ uint64_t operator()(uint64_t a, uint64_t b) const { return a ^ b; }
};
struct And {
  __device__ uint64_t operator()(uint64_t a, uint64_t b) const { return a & b; }
};

// One part for the queries of the block: calls visit(row, count) with whole warps, 32 consecutive rows a call, the last
// of which may lie past `end`. A warp with no query (`query` past the last) only helps to stage.
template <class Combine, class Visit>
__device__ void scan_part(const Scan& scan, int64_t query, int64_t begin, int64_t end, Visit visit) {
  FASTHASH_SHARED(uint64_t, tile, kTile* kStride);
  FASTHASH_SHARED(uint64_t, query_words, kMaxWarps* kDepth);
  const int lane = lane_index();
  const int warp = warp_index();
  const bool active = query < scan.queries.rows;
  const int64_t words = words_of(scan.database);

  for (int64_t first = begin; first < end; first += kTile) {
    int counts[kTile / kLanes] = {};
    for (int64_t word = 0; word < words; word += kDepth) {
      const int depth = static_cast<int>(words - word < kDepth ? words - word : kDepth);
      __syncthreads();  // all have read what is overwritten now
      for (int code = threadIdx.x; code < kTile; code += blockDim.x) {
        const int64_t row = first + code;
        for (int d = 0; d < depth; ++d) {
          tile[code * kStride + d] = row < end ? load_word(scan.database, row, word + d) : 0;
        }
      }
      if (lane < depth) {
        query_words[warp * kDepth + lane] = active ? load_word(scan.queries, query, word + lane) : 0;
      }
      __syncthreads();
      for (int d = 0; d < depth; ++d) {
        const uint64_t query_word = query_words[warp * kDepth + d];
#pragma unroll
        for (int j = 0; j < kTile / kLanes; ++j) {
          counts[j] += __popcll(Combine{}(query_word, tile[(j * kLanes + lane) * kStride + d]));
        }
      }
    }
    if (!active) continue;
#pragma unroll
    for (int j = 0; j < kTile / kLanes; ++j) {
      if (first + j * kLanes < end) visit(first + j * kLanes + lane, counts[j]);
    }
  }
}

// All work of the block: calls body(query, part, begin, end) with whole blocks; `query` differs from warp to warp and
// may lie past the last.
template <class Body>
__device__ void for_each_part(const Scan& scan, Body body) {
  const int64_t warps = blockDim.x / kLanes;
  const int64_t tiles = (scan.queries.rows + warps - 1) / warps;
  for (int64_t job = blockIdx.x; job < tiles * scan.parts; job += gridDim.x) {
    const int64_t part = job / tiles;  // neighbours share a part, hence the cache
    const int64_t begin = part * scan.part_rows;
    const int64_t end = begin + scan.part_rows < scan.database.rows ? begin + scan.part_rows : scan.database.rows;
    body(job % tiles * warps + warp_index(), part, begin, end);
  }
}

__device__ inline Allowed allowed_rows(const Scan& scan, int64_t query, int64_t end) {
  const bool excludes = scan.filter.exclude != nullptr && query < scan.queries.rows;
  return {end, scan.filter.mask, excludes ? scan.filter.exclude[query] : kNoIndex};
}

}  // namespace fasthash::cuda

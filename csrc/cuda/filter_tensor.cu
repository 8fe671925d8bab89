// SPDX-License-Identifier: Apache-2.0
// What is within a query's bound, on tensor cores.
#include "tensor_scan.cuh"

namespace fasthash::cuda {
namespace {

constexpr int kNever = std::numeric_limits<int>::max();  // a threshold that no value reaches
constexpr int64_t kLastRow = std::numeric_limits<int64_t>::max();

// A value is at least n(q) - T over 2, rounded up, for every distance up to T, and for a distance of T + 1 where n(d)
// is odd; so that is the test, and the exact distance is only made of what passes.
template <int kWords, Share kWhich>
struct Filtering {
  const TensorScan* scan;
  const Candidates* candidates;
  int query_ones[kRowTiles][2];
  int thresholds[kRowTiles][2];
  int64_t next_change;  // past this row, a threshold may be another
  Spot own;

  __device__ void begin(const Spot& spot, const int (&ones)[kRowTiles][2]) {
    own = spot;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) query_ones[m][h] = ones[m][h];
    }
    next_change = -1;
  }

  // Past the row of a bound its distance does not suffice any more; rows rise, so that happens once a query.
  __device__ void tile(int64_t first_row) {
    if (first_row <= next_change) return;
    int64_t next = kLastRow;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int64_t query = own.query(m, h);
        if (query >= scan->queries.rows) {
          thresholds[m][h] = kNever;
          continue;
        }
        const uint64_t bound = candidates->bounds[query];
        const bool past = first_row > row_of(bound);
        thresholds[m][h] = (query_ones[m][h] - (distance_of(bound) - past)) >> 1;
        if (!past && row_of(bound) < next) next = row_of(bound);
      }
    }
    for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) next = min(next, __shfl_xor_sync(kWholeWarp, next, lanes));
    next_change = next;
  }

  __device__ void visit(const Spot& spot, const Accumulators& values, const Pair (&code_ones)[kColumnTiles]) {
    bool hit = false;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) hit |= largest(values, m, h) >= thresholds[m][h];
    }
    if (!__any_sync(kWholeWarp, hit)) return;
    unsigned rows_hit = 0;
#pragma unroll
    for (int i = 0; i < 2 * kRowTiles; ++i) {
      rows_hit |= static_cast<unsigned>(largest(values, i / 2, i % 2) >= thresholds[i / 2][i % 2]) << i;
    }
    for (; rows_hit != 0; rows_hit &= rows_hit - 1) {
      const int hit_row = __ffs(static_cast<int>(rows_hit)) - 1;
      int ones = 0;
      int chosen[kColumnTiles][2] = {};  // the values of this row: an index would put them all into local memory
#pragma unroll
      for (int i = 0; i < 2 * kRowTiles; ++i) {
        if (i != hit_row) continue;
        ones = query_ones[i / 2][i % 2];
#pragma unroll
        for (int n = 0; n < kColumnTiles; ++n) {
#pragma unroll
          for (int j = 0; j < 2; ++j) chosen[n][j] = values[n][i / 2][2 * (i % 2) + j];
        }
      }
      const int64_t query = spot.query(hit_row / 2, hit_row % 2);
      const uint64_t bound = candidates->bounds[query];
      const int radius = distance_of(bound);
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int distance = ones - 2 * chosen[n][j] - ((j == 0 ? code_ones[n].x : code_ones[n].y) & 1);
          if (distance > radius) continue;
          const int64_t row = ShareRows<kWhich>(spot.first, scan->database.rows)[spot.code(n, j)];
          const uint64_t key = key_of(distance, row);
          if (key > bound || (scan->filter.exclude != nullptr && scan->filter.exclude[query] == row)) continue;
          append(*candidates, query, key);
        }
      }
    }
    __syncwarp();
  }

  __device__ static int largest(const Accumulators& values, int m, int h) {
    int result = max(values[0][m][2 * h], values[0][m][2 * h + 1]);
#pragma unroll
    for (int n = 1; n < kColumnTiles; ++n) result = max(max(result, values[n][m][2 * h]), values[n][m][2 * h + 1]);
    return result;
  }
};

template <int kWords, Share kWhich>
__global__ void __launch_bounds__(kTensorThreads, kWords == 32 ? 2 : 3)
    filter_kernel(TensorScan scan, Candidates candidates) {
  Filtering<kWords, kWhich> filtering{};
  filtering.scan = &scan;
  filtering.candidates = &candidates;
  scan_by_tensor<kWords, kWhich>(scan, filtering);
}

}  // namespace

void filter_by_tensor(const char* op, Codes queries, Codes database, Filter filter, Share share,
                      const Candidates& candidates, StreamHandle stream) {
  for_width(queries.bytes, [&](auto words) {
    constexpr int kWords = decltype(words)::value;
    const TensorScan scan = make_tensor_scan(queries, database, filter, share, kTileRows<kWords>);
    void (*kernel)(TensorScan, Candidates) =
        share == Share::kFew ? &filter_kernel<kWords, Share::kFew> : &filter_kernel<kWords, Share::kRest>;
    launch(op, kernel, tensor_blocks(scan), kTensorThreads, 0, stream, scan, candidates);
  });
}

}  // namespace fasthash::cuda

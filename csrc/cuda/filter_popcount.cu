// SPDX-License-Identifier: Apache-2.0
// What is within a query's bound, by popcount.
#include "candidates.cuh"

namespace fasthash::cuda {
namespace {

// Short codes come eight to a lane, with a key of each: more than a third of the registers.
template <int kWords>
constexpr int kFilterBlocks = kWords == 1 || kWords == 2 ? kHeavyMinBlocks : Shape<kWords>::kMinBlocks;

template <int kWords>
__global__ void __launch_bounds__(kMaxThreads, kFilterBlocks<kWords>) filter_kernel(Scan scan, Candidates candidates) {
  constexpr int kCodes = Shape<kWords>::kCodes;
  uint64_t* bounds = own_shared<uint64_t>(scan);
  for_each_tile<kWords, Xor>(scan, [&](const Tile& tile) {
    for (int slot = threadIdx.x; slot < tile.queries; slot += blockDim.x) {
      bounds[slot] = candidates.bounds[tile.first + slot];
    }
    __syncthreads();
    scan_tile<kWords, Xor>(scan, tile, [&](int slot, int64_t first, const auto& counts) {
      const uint64_t bound = bounds[slot];
      const int64_t last_row = row_of(bound);
      const int radius = min(distance_of(bound), kMissing - 1) - (first > last_row);
      bool any = false;
#pragma unroll
      for (int j = 0; j < kCodes; ++j) any |= counts[j] <= radius;
      if (!__any_sync(kWholeWarp, any)) return;
#pragma unroll
      for (int j = 0; j < kCodes; ++j) {
        const int64_t row = first + j * kLanes + lane_index();
        const bool wanted = counts[j] <= radius && key_of(counts[j], row) <= bound;
        append_by_warp(candidates, tile.first + slot, key_of(counts[j], row), wanted);
      }
    });
  });
}

}  // namespace

void filter_by_popcount(const char* op, Codes queries, Codes database, Filter filter, const Candidates& candidates,
                        StreamHandle stream) {
  const int64_t own = sizeof(uint64_t);
  const int64_t tile = max_tile(database.bytes, own);
  Scan scan =
      make_scan(queries, database, filter, nullptr, count_parts(queries.rows, database.rows, database.rows, tile));
  scan = tiled(scan, tile);
  with_words(scan, [&](auto words) {
    launch(op, filter_kernel<words.value>, scan_blocks(scan), scan_threads(scan), scan_bytes(scan) + scan.tile * own,
           stream, scan, candidates);
  });
}

}  // namespace fasthash::cuda

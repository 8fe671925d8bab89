// SPDX-License-Identifier: Apache-2.0
// From counts by part and distance to the place of every result.
#include "table.cuh"

namespace fasthash::cuda {
namespace {

constexpr int kThreads = 256;
#ifdef FASTHASH_EMULATION
constexpr int kPlaceWarps = 2;
#else
constexpr int kPlaceWarps = 32;
#endif

// The values of the lanes below, added up; and, in `total`, of all lanes.
__device__ inline int64_t exclusive_sum(int64_t value, int64_t* total) {
  const int lane = lane_index();
  int64_t sum = value;
  for (int delta = 1; delta < kLanes; delta *= 2) {
    const int64_t below = __shfl_up_sync(kWholeWarp, sum, delta);
    if (lane >= delta) sum += below;
  }
  *total = __shfl_sync(kWholeWarp, sum, kLanes - 1);
  return sum - value;
}

// A block for each query and 32 counters, a lane each; its warps share the parts: counts become the sums over lower
// parts, the totals go to `starts`. Counters are read in batches, since each load waits for the stores before it.
__global__ void __launch_bounds__(kPlaceWarps* kLanes)
    place_parts_kernel(Scan scan, int64_t* counts, int64_t* starts, int64_t width) {
  FASTHASH_SHARED(int64_t, totals, kPlaceWarps* kLanes);
  constexpr int kBatch = 8;
  const int lane = lane_index();
  const int warp = warp_index();
  const int warps = blockDim.x / kLanes;
  const int64_t share = (scan.parts + warps - 1) / warps;
  const int64_t begin = min(warp * share, scan.parts);
  const int64_t end = min(begin + share, scan.parts);
  const int64_t groups = (width + kLanes - 1) / kLanes;
  for (int64_t job = blockIdx.x; job < scan.queries.rows * groups; job += gridDim.x) {
    const int64_t query = job / groups;
    if (is_answered(scan, query)) continue;
    const int64_t counter = job % groups * kLanes + lane;
    const bool active = counter < width;
    int64_t* column = counts + query * scan.parts * width + counter;
    int64_t own = 0;
    if (active) {
#pragma unroll 8
      for (int64_t part = begin; part < end; ++part) own += column[part * width];
    }
    totals[threadIdx.x] = own;
    __syncthreads();
    int64_t before = 0;
    for (int lower = 0; lower < warp; ++lower) before += totals[lower * kLanes + lane];
    if (active) {
      if (warp == warps - 1) starts[query * width + counter] = before + own;
      for (int64_t part = begin; part < end; part += kBatch) {
        int64_t batch[kBatch];
#pragma unroll
        for (int i = 0; i < kBatch; ++i) batch[i] = part + i < end ? column[(part + i) * width] : 0;
#pragma unroll
        for (int i = 0; i < kBatch; ++i) {
          if (part + i < end) column[(part + i) * width] = before;
          before += batch[i];
        }
      }
    }
    __syncthreads();  // all have read the totals
  }
}

// A warp for each query and channel: totals by distance become the sums over lower distances.
__global__ void __launch_bounds__(kThreads) place_bins_kernel(Scan scan, Table table, int64_t limit) {
  const int64_t channels = table.channels;
  for (int64_t job = grid_warp(); job < scan.queries.rows * channels; job += grid_warps()) {
    const int64_t query = job / channels;
    if (is_answered(scan, query)) continue;
    const int64_t channel = job % channels;
    int64_t* starts = table.starts + query * table.bins * channels + channel;
    int64_t before = 0;
    int64_t reached = 0;
    for (int64_t first = 0; first < table.bins; first += kLanes) {
      const int64_t bin = first + lane_index();
      int64_t total;
      const int64_t sum = exclusive_sum(bin < table.bins ? starts[bin * channels] : 0, &total);
      if (bin < table.bins) starts[bin * channels] = before + sum;
      reached += __popc(__ballot_sync(kWholeWarp, bin < table.bins && before + sum < limit));
      before += total;
    }
    if (lane_index() != 0) continue;
    table.found[job] = before;
    if (channel == 0) table.cutoff[query] = reached - 1;
  }
}

}  // namespace

Table make_table(const TablePlan& plan, int64_t queries, void* workspace) {
  Table table{plan.bins, plan.channels, static_cast<int64_t*>(workspace), nullptr, nullptr, nullptr, nullptr};
  table.starts = table.counts + queries * plan.parts * plan.width();
  table.found = table.starts + queries * plan.width();
  table.cutoff = table.found + queries * plan.channels;
  table.extra = table.cutoff + queries;
  return table;
}

void place(const char* op, const Scan& scan, const Table& table, int64_t limit, StreamHandle stream) {
  const int64_t queries = scan.queries.rows;
  const int64_t width = table.bins * table.channels;
  const int warps = static_cast<int>(std::min<int64_t>(ceil_div(scan.parts, 4), kPlaceWarps));
  launch(op, place_parts_kernel, queries * ceil_div(width, kLanes), warps * kLanes, 0, stream, scan, table.counts,
         table.starts, width);
  launch(op, place_bins_kernel, ceil_div(queries * table.channels, kThreads / kLanes), kThreads, 0, stream, scan, table,
         limit);
}

}  // namespace fasthash::cuda

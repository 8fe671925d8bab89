// SPDX-License-Identifier: Apache-2.0
// Nearest codes: the k nearest, or all within a radius. Two scans: count, then write every result to its place.
#include "fasthash/select.h"

#include "select.cuh"

namespace fasthash::cuda {
namespace {

constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

// Where the results of a query go: from offsets[query] up to offsets[query + 1], or, with no offsets, k places each.
struct Places {
  const int64_t* offsets;
  int64_t k;
  int32_t* distances;
  int64_t* indices;

  __device__ int64_t begin(int64_t query) const { return offsets != nullptr ? offsets[query] : query * k; }
  __device__ int64_t end(int64_t query) const { return offsets != nullptr ? offsets[query + 1] : query * k + k; }
};

// Needs a placed table, and uses it up: its counts move on as codes are written.
template <int kWords>
__global__ void __launch_bounds__(kMaxThreads, kHeavyMinBlocks) write_kernel(Scan scan, Table table, Places places) {
  constexpr int kCodes = Shape<kWords>::kCodes;
  const int lane = lane_index();
  int* cutoffs = own_shared<int>(scan);
  for_each_tile<kWords, Xor>(scan, [&](const Tile& tile) {
    for (int slot = threadIdx.x; slot < tile.queries; slot += blockDim.x) {
      const int64_t query = tile.first + slot;
      cutoffs[slot] = is_answered(scan, query) ? -1 : static_cast<int>(table.cutoff[query]);
    }
    __syncthreads();
    scan_tile<kWords, Xor>(scan, tile, [&](int slot, int64_t first, const auto& counts) {
      const int cutoff = cutoffs[slot];
      bool any = false;
#pragma unroll
      for (int j = 0; j < kCodes; ++j) any |= counts[j] <= cutoff;
      if (!__any_sync(kWholeWarp, any)) return;

      const int64_t query = tile.first + slot;
      const int64_t first_place = places.begin(query);
      const int64_t end_place = places.end(query);
      const int64_t* starts = table.starts + query * table.bins;
      int64_t* next = table.counts + (query * scan.parts + tile.part) * table.bins;
#pragma unroll
      for (int j = 0; j < kCodes; ++j) {
        const int distance = counts[j];
        const bool wanted = distance <= cutoff;
        if (!__any_sync(kWholeWarp, wanted)) continue;
        // Lanes hold rows in order, so the rank among equals is the number of equal lanes below.
        const unsigned equals = __match_any_sync(kWholeWarp, wanted ? distance : -1);
        const int leader = __ffs(equals) - 1;
        int64_t before = 0;
        if (wanted && lane == leader) {
          before = next[distance];
          next[distance] = before + __popc(equals);
        }
        before = __shfl_sync(kWholeWarp, before, leader);
        __syncwarp();  // the next leader of this distance reads what this one wrote
        if (!wanted) continue;
        const int64_t place = first_place + starts[distance] + before + __popc(equals & lanes_below(lane));
        if (place < end_place) {
          places.distances[place] = distance;
          places.indices[place] = first + j * kLanes + lane;
        }
      }
    });
  });
}

// Places without a code.
__global__ void __launch_bounds__(kMaxThreads) fill_kernel(Scan scan, const int64_t* found, Places places) {
  for (int64_t query = blockIdx.x; query < scan.queries.rows; query += gridDim.x) {
    if (is_answered(scan, query)) continue;
    const int64_t end = places.end(query);
    for (int64_t i = places.begin(query) + found[query] + threadIdx.x; i < end; i += blockDim.x) {
      places.distances[i] = kNoDistance;
      places.indices[i] = kNoIndex;
    }
  }
}

void count_and_place(const char* op, const Scan& scan, const Table& table, int64_t limit, StreamHandle stream) {
  count_by_distance(op, scan, nullptr, table.bins, table.counts, scan.parts, stream);
  place(op, scan, table, limit, stream);
}

void write(const char* op, const Scan& scan, const Table& table, const Places& places, StreamHandle stream) {
  if (scan.database.rows == 0) return;
  with_words(scan, [&](auto words) {
    launch(op, write_kernel<words.value>, scan_blocks(scan), scan_threads(scan),
           scan_bytes(scan) + scan.tile * sizeof(int), stream, scan, table, places);
  });
}

// One bin a distance up to the radius; none for a negative one.
int64_t radius_bins(int64_t bytes, int64_t radius) {
  return std::max<int64_t>(std::min(radius, 8 * bytes) + 1, 0);
}

TablePlan plan_range(int64_t queries, int64_t database, int64_t bytes, int64_t radius) {
  return plan_table(queries, database, bytes, radius_bins(bytes, radius), 1);
}

}  // namespace

TablePlan plan_topk(int64_t queries, int64_t database, int64_t bytes) {
  return plan_table(queries, database, bytes, 8 * bytes + 1, 1);
}

void search_by_counting(const char* op, const TablePlan& plan, Codes queries, Codes database, int64_t k, Filter filter,
                        const int32_t* answered, int64_t* counts, int32_t* distances, int64_t* indices, void* workspace,
                        StreamHandle stream) {
  for (int64_t first = 0; first < queries.rows; first += plan.group) {
    const int64_t count = std::min(plan.group, queries.rows - first);
    const Scan scan = make_scan(slice(queries, first, count), database, slice(filter, first),
                                answered == nullptr ? nullptr : answered + first, plan.parts);
    Table table = make_table(plan, count, workspace);
    if (counts != nullptr) table.found = counts + first;
    const Places places{nullptr, k, distances + first * k, indices + first * k};
    count_and_place(op, scan, table, k, stream);
    write(op, scan, table, places, stream);
    launch(op, fill_kernel, count, kMaxThreads, 0, stream, scan, table.found, places);
  }
}

int64_t range_workspace(int64_t queries, int64_t database, int64_t bytes, int64_t radius) {
  return plan_range(queries, database, bytes, radius).workspace();
}

void hamming_range_count(Codes queries, Codes database, int64_t radius, Filter filter, int64_t* counts, void* workspace,
                         int64_t, StreamHandle stream) {
  const char* op = "hamming_range";
  const TablePlan plan = plan_range(queries.rows, database.rows, queries.bytes, radius);
  for (int64_t first = 0; first < queries.rows; first += plan.group) {
    const int64_t count = std::min(plan.group, queries.rows - first);
    const Scan scan = make_scan(slice(queries, first, count), database, slice(filter, first), nullptr, plan.parts);
    Table table = make_table(plan, count, workspace);
    table.found = counts + first;
    count_and_place(op, scan, table, kNoLimit, stream);
  }
}

void hamming_range_write(Codes queries, Codes database, int64_t radius, Filter filter, const int64_t* offsets,
                         int32_t* distances, int64_t* indices, void* workspace, int64_t, StreamHandle stream) {
  const char* op = "hamming_range";
  const TablePlan plan = plan_range(queries.rows, database.rows, queries.bytes, radius);
  for (int64_t first = 0; first < queries.rows; first += plan.group) {
    const int64_t count = std::min(plan.group, queries.rows - first);
    const Scan scan = make_scan(slice(queries, first, count), database, slice(filter, first), nullptr, plan.parts);
    const Table table = make_table(plan, count, workspace);
    // The workspace still holds the places of the last group only; they are counted again where there are several.
    if (plan.group < queries.rows) count_and_place(op, scan, table, kNoLimit, stream);
    write(op, scan, table, {offsets + first, 0, distances, indices}, stream);
  }
}

void hamming_range_padded(Codes queries, Codes database, int64_t radius, int64_t capacity, Filter filter,
                          int64_t* counts, int32_t* distances, int64_t* indices, void* workspace, int64_t,
                          StreamHandle stream) {
  search_by_counting("hamming_range_padded", plan_range(queries.rows, database.rows, queries.bytes, radius), queries,
                     database, capacity, filter, nullptr, counts, distances, indices, workspace, stream);
}

}  // namespace fasthash::cuda

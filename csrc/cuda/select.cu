// Nearest codes: the k nearest, or all within a radius. Two scans: count, then write every result to its place.
#include "fasthash/select.h"

#include "lists.cuh"
#include "table.cuh"

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
__global__ void __launch_bounds__(kMaxThreads, kMinBlocks) write_kernel(Scan scan, Table table, Places places) {
  const int lane = lane_index();
  for_each_part(scan, [&](int64_t query, int64_t part, int64_t begin, int64_t end) {
    const bool active = query < scan.queries.rows;
    const Allowed allowed = allowed_rows(scan, query, end);
    const int64_t cutoff = active ? table.cutoff[query] : -1;
    const int64_t first_place = active ? places.begin(query) : 0;
    const int64_t end_place = active ? places.end(query) : 0;
    const int64_t* starts = table.starts + query * table.bins;
    int64_t* next = table.counts + (query * scan.parts + part) * table.bins;

    scan_part<Xor>(scan, query, begin, end, [&](int64_t row, int distance) {
      const bool wanted = distance <= cutoff && allowed(row);
      if (!__any_sync(kWholeWarp, wanted)) return;
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
      if (!wanted) return;
      const int64_t place = first_place + starts[distance] + before + __popc(equals & lanes_below(lane));
      if (place < end_place) {
        places.distances[place] = distance;
        places.indices[place] = row;
      }
    });
  });
}

// Places without a code.
__global__ void __launch_bounds__(kMaxThreads) fill_kernel(const int64_t* found, int64_t queries, Places places) {
  for (int64_t query = blockIdx.x; query < queries; query += gridDim.x) {
    const int64_t end = places.end(query);
    for (int64_t i = places.begin(query) + found[query] + threadIdx.x; i < end; i += blockDim.x) {
      places.distances[i] = kNoDistance;
      places.indices[i] = kNoIndex;
    }
  }
}

void count_and_place(const char* op, const Scan& scan, const Table& table, int64_t limit, StreamHandle stream) {
  count_by_distance(op, scan, nullptr, table.bins, table.counts, scan.parts, stream);
  place(op, table, scan.queries.rows, scan.parts, limit, stream);
}

void write(const char* op, const Scan& scan, const Table& table, const Places& places, StreamHandle stream) {
  if (scan.database.rows == 0) return;
  const int warps = scan_warps(scan);
  launch(op, write_kernel, scan_blocks(scan, warps), warps * kLanes, 0, stream, scan, table, places);
}

// One bin a distance up to the radius; none for a negative one.
int64_t radius_bins(int64_t bytes, int64_t radius) {
  return std::max<int64_t>(std::min(radius, 8 * bytes) + 1, 0);
}

TablePlan plan_topk(int64_t queries, int64_t database, int64_t bytes) {
  return plan_table(queries, database, 8 * bytes + 1, 1);
}
TablePlan plan_range(int64_t queries, int64_t database, int64_t bytes, int64_t radius) {
  return plan_table(queries, database, radius_bins(bytes, radius), 1);
}

// The nearest `k` codes of each query, of those that have a bin in the plan; counts, where not null, of all of those.
void search(const char* op, const TablePlan& plan, Codes queries, Codes database, int64_t k, Filter filter,
            int64_t* counts, int32_t* distances, int64_t* indices, void* workspace, StreamHandle stream) {
  for (int64_t first = 0; first < queries.rows; first += plan.group) {
    const int64_t count = std::min(plan.group, queries.rows - first);
    const Scan scan = make_scan(slice(queries, first, count), database, slice(filter, first), plan.parts);
    Table table = make_table(plan, count, workspace);
    if (counts != nullptr) table.found = counts + first;
    const Places places{nullptr, k, distances + first * k, indices + first * k};
    count_and_place(op, scan, table, k, stream);
    write(op, scan, table, places, stream);
    launch(op, fill_kernel, count, kMaxThreads, 0, stream, table.found, count, places);
  }
}

}  // namespace

int64_t placed_workspace(int64_t queries, int64_t database, int64_t bytes) {
  return plan_topk(queries, database, bytes).workspace();
}

void search_placed(const char* op, Codes queries, Codes database, int64_t k, Filter filter, const int32_t* answered,
                   int32_t* distances, int64_t* indices, void* workspace, StreamHandle stream) {
  static_cast<void>(answered);
  search(op, plan_topk(queries.rows, database.rows, queries.bytes), queries, database, k, filter, nullptr, distances,
         indices, workspace, stream);
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
    const Scan scan = make_scan(slice(queries, first, count), database, slice(filter, first), plan.parts);
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
    const Scan scan = make_scan(slice(queries, first, count), database, slice(filter, first), plan.parts);
    const Table table = make_table(plan, count, workspace);
    // The workspace still holds the places of the last group only; they are counted again where there are several.
    if (plan.group < queries.rows) count_and_place(op, scan, table, kNoLimit, stream);
    write(op, scan, table, {offsets + first, 0, distances, indices}, stream);
  }
}

void hamming_range_padded(Codes queries, Codes database, int64_t radius, int64_t capacity, Filter filter,
                          int64_t* counts, int32_t* distances, int64_t* indices, void* workspace, int64_t,
                          StreamHandle stream) {
  search("hamming_range_padded", plan_range(queries.rows, database.rows, queries.bytes, radius), queries, database,
         capacity, filter, counts, distances, indices, workspace, stream);
}

}  // namespace fasthash::cuda

#include "table.cuh"

namespace fasthash::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kSharedCounters = 9 * 1024;  // 36 KB: with the tile of the scan, within what needs no opting in

__global__ void __launch_bounds__(kThreads) zero_kernel(int64_t* out, int64_t count) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) out[i] = 0;
}

__device__ inline void add(int64_t* counter, int64_t count) {
  atomicAdd(reinterpret_cast<unsigned long long*>(counter), static_cast<unsigned long long>(count));
}

// How the codes at one distance are told apart: the channel of each. Relevant codes are counted in both channels.
struct Alike {
  static constexpr bool kNested = false;
  __device__ int operator()(int64_t, int64_t) const { return 0; }
};
struct ByRelevance {
  static constexpr bool kNested = true;
  Relevance labels;
  __device__ int operator()(int64_t query, int64_t row) const { return is_relevant(labels, query, row); }
};
struct ByOverlap {
  static constexpr bool kNested = false;
  Relevance labels;
  __device__ int operator()(int64_t query, int64_t row) const { return shared_labels(labels, query, row); }
};

// A warp counts its query's part in a shared table of its own, bins * channels 32-bit counters, and adds that to the
// result. Where there is no room for such a table, the result itself counts: long codes, beside whose bits a count is
// rare, or many labels, over which counts spread.
template <class Channel>
__global__ void __launch_bounds__(kMaxThreads, kMinBlocks)
    count_kernel(Scan scan, Channel channel, int64_t bins, int64_t channels, bool in_shared, int64_t* out,
                 int64_t out_parts) {
  const int lane = lane_index();
  const int64_t width = bins * channels;
  unsigned* shared = dynamic_shared<unsigned>() + (in_shared ? warp_index() * width : 0);

  for_each_part(scan, [&](int64_t query, int64_t part, int64_t begin, int64_t end) {
    int64_t* result = out + (query * out_parts + (out_parts == 1 ? 0 : part)) * width;
    const Allowed allowed = allowed_rows(scan, query, end);
    if (in_shared) {
      for (int64_t i = lane; i < width; i += kLanes) shared[i] = 0;
      __syncwarp();
    }
    scan_part<Xor>(scan, query, begin, end, [&](int64_t row, int distance) {
      if (distance >= bins || !allowed(row)) return;
      const int64_t first = distance * channels;
      const int own = channel(query, row);
      if (in_shared) {
        atomicAdd(&shared[first + own], 1u);
      } else {
        add(&result[first + own], 1);
        if (Channel::kNested && own != 0) add(&result[first], 1);
      }
    });
    if (!in_shared || query >= scan.queries.rows) return;
    __syncwarp();
    for (int64_t i = lane; i < width; i += kLanes) {
      unsigned count = shared[i];
      if (Channel::kNested && i % channels == 0) count += shared[i + 1];
      if (count != 0) add(&result[i], count);
    }
    __syncwarp();
  });
}

template <class Channel>
void count(const char* op, const Scan& scan, Channel channel, int64_t bins, int64_t channels, int64_t* out,
           int64_t out_parts, StreamHandle stream) {
  const int64_t width = bins * channels;
  const int64_t counters = scan.queries.rows * out_parts * width;
  launch(op, zero_kernel, ceil_div(counters, kThreads), kThreads, 0, stream, out, counters);
  if (scan.database.rows == 0 || width == 0) return;

  const bool in_shared = width <= kSharedCounters;
  const int warps = scan_warps(scan, in_shared ? std::min<int64_t>(kSharedCounters / width, kMaxWarps) : kMaxWarps);
  const size_t shared_bytes = in_shared ? warps * width * sizeof(unsigned) : 0;
  launch(op, count_kernel<Channel>, scan_blocks(scan, warps), warps * kLanes, shared_bytes, stream, scan, channel, bins,
         channels, in_shared, out, out_parts);
}

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

// A warp for each query and counter: counts become the sums over lower parts, the total goes to `starts`.
__global__ void __launch_bounds__(kThreads)
    place_parts_kernel(int64_t* counts, int64_t* starts, int64_t queries, int64_t parts, int64_t width) {
  for (int64_t job = grid_warp(); job < queries * width; job += grid_warps()) {
    int64_t* column = counts + job / width * parts * width + job % width;
    int64_t before = 0;
    for (int64_t first = 0; first < parts; first += kLanes) {
      const int64_t part = first + lane_index();
      int64_t total;
      const int64_t sum = exclusive_sum(part < parts ? column[part * width] : 0, &total);
      if (part < parts) column[part * width] = before + sum;
      before += total;
    }
    if (lane_index() == 0) starts[job] = before;
  }
}

// A warp for each query and channel: totals by distance become the sums over lower distances.
__global__ void __launch_bounds__(kThreads) place_bins_kernel(Table table, int64_t queries, int64_t limit) {
  const int64_t channels = table.channels;
  for (int64_t job = grid_warp(); job < queries * channels; job += grid_warps()) {
    const int64_t query = job / channels;
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

int64_t blocks_for_warps(int64_t warps) {
  return ceil_div(warps, kThreads / kLanes);
}

}  // namespace

TablePlan plan_table(int64_t queries, int64_t database, int64_t bins, int64_t channels, int64_t extra) {
  TablePlan plan{bins, channels, 1, 1, extra};
  plan.parts = count_parts(queries, database, std::max<int64_t>(kTableWords / (plan.width() + extra + 1) - 1, 1));
  plan.group = std::min(std::max<int64_t>(kTableWords / plan.words_per_query(), 1), queries);
  return plan;
}

Table make_table(const TablePlan& plan, int64_t queries, void* workspace) {
  Table table{plan.bins, plan.channels, static_cast<int64_t*>(workspace), nullptr, nullptr, nullptr, nullptr};
  table.starts = table.counts + queries * plan.parts * plan.width();
  table.found = table.starts + queries * plan.width();
  table.cutoff = table.found + queries * plan.channels;
  table.extra = table.cutoff + queries;
  return table;
}

void count_by_distance(const char* op, const Scan& scan, const Relevance* relevance, int64_t bins, int64_t* out,
                       int64_t out_parts, StreamHandle stream) {
  if (relevance == nullptr) {
    count(op, scan, Alike{}, bins, 1, out, out_parts, stream);
  } else {
    count(op, scan, ByRelevance{*relevance}, bins, 2, out, out_parts, stream);
  }
}

void count_by_overlap(const char* op, const Scan& scan, const Relevance& relevance, int64_t bins, int64_t classes,
                      int64_t* out, StreamHandle stream) {
  count(op, scan, ByOverlap{relevance}, bins, classes + 1, out, 1, stream);
}

void place(const char* op, const Table& table, int64_t queries, int64_t parts, int64_t limit, StreamHandle stream) {
  const int64_t width = table.bins * table.channels;
  launch(op, place_parts_kernel, blocks_for_warps(queries * width), kThreads, 0, stream, table.counts, table.starts,
         queries, parts, width);
  launch(op, place_bins_kernel, blocks_for_warps(queries * table.channels), kThreads, 0, stream, table, queries, limit);
}

}  // namespace fasthash::cuda

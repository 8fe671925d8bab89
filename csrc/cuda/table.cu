#include "table.cuh"

namespace fasthash::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    zero_kernel(int64_t* out, int64_t queries, int64_t counters, const int32_t* answered) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < queries * counters; i += step) {
    if (answered == nullptr || answered[i / counters] == 0) out[i] = 0;
  }
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

// Where counts are kept until a part is done: 32-bit counters in shared memory, bins * channels for each query of the
// tile, one set for the block where its parts are added up, else one for each warp. Lanes that hit one counter at once
// are added up by the hardware. Where there is no room for such a table, the result itself counts: long codes, beside
// whose bits a count is rare, or many labels, over which counts spread.
enum class Counters { kBlock, kWarp, kResult };

template <int kWords, class Channel>
__global__ void __launch_bounds__(kMaxThreads, kHeavyMinBlocks)
    count_kernel(Scan scan, Channel channel, int64_t bins, int64_t channels, Counters counters, int64_t* out,
                 int64_t out_parts) {
  const int64_t width = bins * channels;
  const int64_t table_size = scan.tile * width;
  unsigned* tables = own_shared<unsigned>(scan);
  unsigned* table = tables + (counters == Counters::kWarp ? warp_index() * table_size : 0);

  for_each_tile<kWords, Xor>(scan, [&](const Tile& tile) {
    const bool is_part = tile.part < scan.parts;
    int64_t* results = out + (tile.first * out_parts + (out_parts == 1 ? 0 : tile.part)) * width;
    if (counters != Counters::kResult) {
      const int64_t all = (counters == Counters::kWarp ? blockDim.x / kLanes : 1) * table_size;
      for (int64_t i = threadIdx.x; i < all; i += blockDim.x) tables[i] = 0;
      __syncthreads();
    }
    scan_tile<kWords, Xor>(scan, tile, [&](int slot, int64_t first, const auto& counts) {
      int64_t* result = results + slot * out_parts * width;
#pragma unroll
      for (int j = 0; j < Shape<kWords>::kCodes; ++j) {
        if (counts[j] >= bins) continue;
        const int64_t at = counts[j] * channels;
        const int own = channel(tile.first + slot, first + j * kLanes + lane_index());
        if (counters != Counters::kResult) {
          atomicAdd(&table[slot * width + at + own], 1u);
        } else {
          add(&result[at + own], 1);
          if (Channel::kNested && own != 0) add(&result[at], 1);
        }
      }
    });
    if (counters == Counters::kResult) return;
    __syncthreads();
    const bool shared = counters == Counters::kBlock;
    if (!shared && !is_part) return;
    const int step = shared ? blockDim.x : kLanes;
    for (int64_t i = shared ? threadIdx.x : lane_index(); i < tile.queries * width; i += step) {
      unsigned count = table[i];
      if (Channel::kNested && i % channels == 0) count += table[i + 1];
      int64_t* result = results + i / width * out_parts * width + i % width;
      if (!shared) {
        *result = count;
      } else if (count != 0) {
        add(result, count);
      }
    }
  });
}

// Whether a tile of one query with so many bytes of its own fits in shared memory.
bool fits_shared(int64_t bytes, int64_t own_bytes) {
  return 4 * padded_words(bytes) + 32 + own_bytes <= kSharedBytes;
}

// Warps of a block that count in tables of their own: fewer where that leaves room for a few queries.
int64_t counting_warps(int64_t bytes, int64_t width) {
  int64_t warps = kMaxWarps;
  while (warps > 1 && max_tile(bytes, warps * width * 4) < 4) warps /= 2;
  return warps;
}

template <class Channel>
void count(const char* op, Scan scan, Channel channel, int64_t bins, int64_t channels, int64_t* out, int64_t out_parts,
           StreamHandle stream) {
  const int64_t width = bins * channels;
  const int64_t bytes = scan.database.bytes;
  Counters counters = out_parts == 1 ? Counters::kBlock : Counters::kWarp;
  const int64_t table_bytes = width * static_cast<int64_t>(sizeof(unsigned));
  int64_t warps = kMaxWarps;
  int64_t own_bytes = table_bytes;
  if (counters == Counters::kWarp) {
    warps = counting_warps(bytes, width);
    own_bytes *= warps;
  }
  if (!fits_shared(bytes, own_bytes)) {
    counters = Counters::kResult;
    own_bytes = 0;
    warps = kMaxWarps;
  }
  scan = tiled(scan, max_tile(bytes, own_bytes), warps);
  if (counters != Counters::kWarp || scan.database.rows == 0) {
    const int64_t all = out_parts * width;
    launch(op, zero_kernel, ceil_div(scan.queries.rows * all, kThreads), kThreads, 0, stream, out, scan.queries.rows,
           all, scan.answered);
  }
  if (scan.database.rows == 0 || width == 0) return;
  with_words(scan, [&](auto words) {
    launch(op, count_kernel<words.value, Channel>, scan_blocks(scan), scan_threads(scan),
           scan_bytes(scan) + scan.tile * own_bytes, stream, scan, channel, bins, channels, counters, out, out_parts);
  });
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
    place_parts_kernel(Scan scan, int64_t* counts, int64_t* starts, int64_t width) {
  const int64_t parts = scan.parts;
  for (int64_t job = grid_warp(); job < scan.queries.rows * width; job += grid_warps()) {
    if (is_answered(scan, job / width)) continue;
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

int64_t blocks_for_warps(int64_t warps) {
  return ceil_div(warps, kThreads / kLanes);
}

}  // namespace

TablePlan plan_table(int64_t queries, int64_t database, int64_t bytes, int64_t bins, int64_t channels, int64_t extra) {
  TablePlan plan{bins, channels, 1, 1, extra};
  const int64_t tile = max_tile(bytes, counting_warps(bytes, plan.width()) * plan.width() * 4);
  const int64_t max_parts = std::max<int64_t>(kTableWords / (plan.width() + extra + 1) - 1, 1);
  plan.parts = count_parts(queries, database, max_parts, tile);
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

void place(const char* op, const Scan& scan, const Table& table, int64_t limit, StreamHandle stream) {
  const int64_t queries = scan.queries.rows;
  const int64_t width = table.bins * table.channels;
  launch(op, place_parts_kernel, blocks_for_warps(queries * width), kThreads, 0, stream, scan, table.counts,
         table.starts, width);
  launch(op, place_bins_kernel, blocks_for_warps(queries * table.channels), kThreads, 0, stream, scan, table, limit);
}

}  // namespace fasthash::cuda

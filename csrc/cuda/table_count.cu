// SPDX-License-Identifier: Apache-2.0
// Counts by distance, of whole queries or by part.
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

// How the codes at one distance are told apart: the channel of each, from what `query_label` and `database_label` keep.
// kChannels: their number, where it is known beforehand.
struct Alike {
  static constexpr bool kLabels = false;
  static constexpr int kChannels = 1;
  __device__ int operator()(int64_t, int64_t, int64_t, int64_t) const { return 0; }
};
struct SameClass {
  static constexpr bool kLabels = true;
  static constexpr int kChannels = 2;
  Relevance labels;
  __device__ int operator()(int64_t query_label, int64_t row_label, int64_t, int64_t) const {
    return query_label == row_label;
  }
};
// Label sets of one word.
struct AnyShared {
  static constexpr bool kLabels = true;
  static constexpr int kChannels = 2;
  Relevance labels;
  __device__ int operator()(int64_t query_label, int64_t row_label, int64_t, int64_t) const {
    return (query_label & row_label) != 0;
  }
};
struct NumberShared {
  static constexpr bool kLabels = true;
  static constexpr int kChannels = 0;
  Relevance labels;
  __device__ int operator()(int64_t query_label, int64_t row_label, int64_t, int64_t) const {
    return __popcll(query_label & row_label);
  }
};
// Label sets of any length.
struct LongSets {
  static constexpr bool kLabels = true;
  static constexpr int kChannels = 0;
  Relevance labels;
  bool number;
  __device__ int operator()(int64_t query_label, int64_t row_label, int64_t query, int64_t row) const {
    row = min(row, labels.database_sets.rows - 1);  // what lies past it is counted, but not kept
    return number ? shared_labels(labels, query_label, row_label, query, row)
                  : is_relevant(labels, query_label, row_label, query, row);
  }
};

// What is counted: bins of distance, each with as many channels. Nested: the first channel also counts the second's.
struct Counting {
  int bins;
  int channels;
  bool nested;
  bool by_part;  // or all parts together

  __host__ __device__ int64_t width() const { return int64_t{bins} * channels; }
  __host__ __device__ int64_t parts(const Scan& scan) const { return by_part ? scan.parts : 1; }
};

// Calls count(slot, distance, channel) for the codes of a part, with a distance of `kMissing` or more for what a query
// may not meet. `query_labels`: room in shared memory for those of the tile.
template <int kWords, class Channel, class Count>
__device__ void for_each_count(const Scan& scan, const Tile& tile, Channel channel, int64_t* query_labels,
                               Count count) {
  constexpr int kCodes = Shape<kWords>::kCodes;
  int64_t labels[kCodes] = {};
  if constexpr (Channel::kLabels) {
    for (int slot = threadIdx.x; slot < tile.queries; slot += blockDim.x) {
      query_labels[slot] = query_label(channel.labels, tile.first + slot);
    }
  }
  __syncthreads();
  const auto begin_step = [&](int64_t first) {
    if constexpr (Channel::kLabels) load_labels(channel.labels, first, labels);
  };
  scan_tile<kWords, Xor>(scan, tile, begin_step, [&](int slot, int64_t first, const auto& counts) {
    const int64_t label = Channel::kLabels ? query_labels[slot] : 0;
#pragma unroll
    for (int j = 0; j < kCodes; ++j) {
      count(slot, counts[j], channel(label, labels[j], tile.first + slot, first + j * kLanes + lane_index()));
    }
  });
}

// Counts in 32-bit counters in shared memory, a table for each query of the tile, with one more bin for what is not
// wanted, which costs less than a branch: one set of tables for the block where parts are added up, else one for each
// warp. Lanes of a warp that hit one counter at once are added up by the hardware, and neighbouring counters lie in
// different banks.
template <int kWords, class Channel>
__global__ void __launch_bounds__(kMaxThreads, kHeavyMinBlocks)
    count_kernel(Scan scan, Channel channel, Counting counting, int64_t* out) {
  const int channels = Channel::kChannels != 0 ? Channel::kChannels : counting.channels;
  const int bins = counting.bins;
  const int width = bins * channels;
  const int table_size = width + channels;
  const int set_size = scan.tile * table_size;
  int64_t* query_labels = own_shared<int64_t>(scan);
  unsigned* tables = reinterpret_cast<unsigned*>(query_labels + scan.tile);
  unsigned* own_tables = tables + (counting.by_part ? warp_index() * set_size : 0);

  for_each_tile<kWords, Xor>(scan, [&](const Tile& tile) {
    const int all_size = counting.by_part ? static_cast<int>(blockDim.x) / kLanes * set_size : set_size;
    for (int i = threadIdx.x; i < all_size; i += blockDim.x) tables[i] = 0;
    for_each_count<kWords>(scan, tile, channel, query_labels, [&](int slot, int distance, int own) {
      atomicAdd(&own_tables[slot * table_size + min(distance, bins) * channels + own], 1u);
    });
    __syncthreads();

    if (counting.by_part && tile.part >= scan.parts) return;
    const int64_t parts = counting.parts(scan);
    int64_t* results = out + (tile.first * parts + (counting.by_part ? tile.part : 0)) * width;
    const int step = counting.by_part ? kLanes : blockDim.x;
    for (int i = counting.by_part ? lane_index() : threadIdx.x; i < tile.queries * width; i += step) {
      const int slot = i / width;
      const int at = i % width;
      const unsigned* table = own_tables + slot * table_size;
      unsigned count = table[at];
      if (counting.nested && at % channels == 0) count += table[at + 1];
      int64_t* result = results + slot * parts * width + at;
      if (counting.by_part) {
        *result = count;
      } else if (count != 0) {
        add(result, count);
      }
    }
  });
}

// Counts in the result itself, for tables that shared memory does not hold: those of long codes, beside whose bits a
// count is rare, or of many labels, over which counts spread.
template <class Channel>
__global__ void __launch_bounds__(kMaxThreads, kHeavyMinBlocks)
    count_in_result_kernel(Scan scan, Channel channel, Counting counting, int64_t* out) {
  for_each_tile<kChunked, Xor>(scan, [&](const Tile& tile) {
    const int64_t parts = counting.parts(scan);
    int64_t* results = out + (tile.first * parts + (counting.by_part ? tile.part : 0)) * counting.width();
    const auto count = [&](int slot, int distance, int own) {
      if (distance >= counting.bins) return;
      int64_t* result = results + slot * parts * counting.width() + int64_t{distance} * counting.channels;
      add(result + own, 1);
      if (counting.nested && own != 0) add(result, 1);
    };
    for_each_count<kChunked>(scan, tile, channel, own_shared<int64_t>(scan), count);
  });
}

// Shared memory, in bytes, that each query of a tile takes for its label and for tables of 32-bit counters.
constexpr int64_t kLabelBytes = sizeof(int64_t);
int64_t counter_bytes(int64_t bins, int64_t channels, int64_t tables) {
  return kLabelBytes + (bins + 1) * channels * tables * static_cast<int64_t>(sizeof(unsigned));
}

// Warps of a block that count in tables of their own: fewer where that leaves room for a few queries.
int64_t counting_warps(int64_t bytes, int64_t bins, int64_t channels) {
  int64_t warps = kMaxWarps;
  while (warps > 1 && tile_room(bytes, counter_bytes(bins, channels, warps)) < 4) warps /= 2;
  return warps;
}

template <class Channel>
void count(const char* op, const Scan& scan, Channel channel, const Counting& counting, int64_t* out,
           StreamHandle stream) {
  const int64_t width = counting.width();
  const int64_t bytes = scan.database.bytes;
  const int64_t warps = counting.by_part ? counting_warps(bytes, counting.bins, counting.channels) : kMaxWarps;
  const int64_t own_bytes = counter_bytes(counting.bins, counting.channels, counting.by_part ? warps : 1);
  const bool in_shared = tile_room(bytes, own_bytes) > 0;
  if (!counting.by_part || !in_shared || scan.database.rows == 0) {
    const int64_t counters = counting.parts(scan) * width;
    launch(op, zero_kernel, ceil_div(scan.queries.rows * counters, kThreads), kThreads, 0, stream, out,
           scan.queries.rows, counters, scan.answered);
  }
  if (scan.database.rows == 0 || width == 0) return;

  if (!in_shared) {
    const Scan chunks = tiled(by_chunks(scan), max_tile(bytes, kLabelBytes));
    launch(op, count_in_result_kernel<Channel>, scan_blocks(chunks), scan_threads(chunks),
           scan_bytes(chunks) + chunks.tile * kLabelBytes, stream, chunks, channel, counting, out);
    return;
  }
  const auto count_as = [&](const Scan& counted, auto words) {
    launch(op, count_kernel<words.value, Channel>, scan_blocks(counted), scan_threads(counted),
           scan_bytes(counted) + counted.tile * own_bytes, stream, counted, channel, counting, out);
  };
  const int64_t tile = max_tile(bytes, own_bytes);
  if constexpr (std::is_same_v<Channel, LongSets>) {  // beside whose words the codes' count for little
    count_as(tiled(by_chunks(scan), tile, warps), std::integral_constant<int, kChunked>{});
  } else {
    const Scan counted = tiled(scan, tile, warps);
    with_words(counted, [&](auto words) { count_as(counted, words); });
  }
}

}  // namespace

TablePlan plan_table(int64_t queries, int64_t database, int64_t bytes, int64_t bins, int64_t channels, int64_t extra) {
  TablePlan plan{bins, channels, 1, 1, extra};
  const int64_t tile = max_tile(bytes, counter_bytes(bins, channels, counting_warps(bytes, bins, channels)));
  const int64_t max_parts = std::max<int64_t>(kTableWords / (plan.width() + extra + 1) - 1, 1);
  plan.parts = count_parts(queries, database, max_parts, tile);
  plan.group = std::min(std::max<int64_t>(kTableWords / plan.words_per_query(), 1), queries);
  return plan;
}

void count_by_distance(const char* op, const Scan& scan, const Relevance* relevance, int64_t bins, int64_t* out,
                       int64_t out_parts, StreamHandle stream) {
  const Counting counting{static_cast<int>(bins), relevance == nullptr ? 1 : 2, relevance != nullptr, out_parts > 1};
  if (relevance == nullptr) {
    count(op, scan, Alike{}, counting, out, stream);
  } else if (relevance->query_ids != nullptr) {
    count(op, scan, SameClass{*relevance}, counting, out, stream);
  } else if (relevance->query_sets.bytes <= 8) {
    count(op, scan, AnyShared{*relevance}, counting, out, stream);
  } else {
    count(op, scan, LongSets{*relevance, false}, counting, out, stream);
  }
}

void count_by_overlap(const char* op, const Scan& scan, const Relevance& relevance, int64_t bins, int64_t classes,
                      int64_t* out, StreamHandle stream) {
  const Counting counting{static_cast<int>(bins), static_cast<int>(classes + 1), false, false};
  if (relevance.query_ids != nullptr) {
    count(op, scan, SameClass{relevance}, counting, out, stream);
  } else if (relevance.query_sets.bytes <= 8) {
    count(op, scan, NumberShared{relevance}, counting, out, stream);
  } else {
    count(op, scan, LongSets{relevance, true}, counting, out, stream);
  }
}

}  // namespace fasthash::cuda

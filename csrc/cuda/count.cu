// SPDX-License-Identifier: Apache-2.0
// Counts by distance, and the sums of average precision in index order.
#include "fasthash/count.h"

#include "table.cuh"

namespace fasthash::cuda {
namespace {

// What a part adds to a query's sums; lies in the extra words of a table.
struct Partial {
  double precision_sum;
  int64_t hits;
};
constexpr int64_t kPartialWords = sizeof(Partial) / sizeof(int64_t);

// What a warp keeps of each query of a tile: sums of the lanes, and, unless the table itself does, how many codes it
// has seen at each distance.
struct LaneSums {
  double precision[kLanes];
  int hits[kLanes];
};
struct alignas(8) Seen {
  unsigned all;
  unsigned relevant;
};
struct QueryState {
  int64_t label;
  int64_t cutoff;
};
int64_t precision_bytes(int64_t seen_bins, int64_t warps) {
  return sizeof(QueryState) + warps * static_cast<int64_t>(sizeof(LaneSums) + seen_bins * sizeof(Seen));
}

// Codes of a part at one distance, all and relevant, before those that are met now.
struct Before {
  int64_t all;
  int64_t relevant;
};

// Needs a placed table of two channels. kInTable: uses it up, its counts move on with the items; for codes too long for
// counters in shared memory. The items of a part are added in index order by lane, the lanes by a tree, the parts
// (sum_kernel) in order: always the same sum.
template <int kWords, bool kInTable>
__global__ void __launch_bounds__(kMaxThreads, kHeavyMinBlocks)
    precision_kernel(Scan scan, Relevance relevance, Table table, int64_t window, Partial* partials) {
  const int lane = lane_index();
  const int bins = static_cast<int>(table.bins);
  QueryState* states = own_shared<QueryState>(scan);
  LaneSums* all_sums = reinterpret_cast<LaneSums*>(states + scan.tile);
  LaneSums* sums = all_sums + warp_index() * scan.tile;
  Seen* seen = reinterpret_cast<Seen*>(all_sums + blockDim.x / kLanes * scan.tile) + warp_index() * scan.tile * bins;
  int64_t labels[Shape<kWords>::kCodes] = {};
  for_each_tile<kWords, Xor>(scan, [&](const Tile& tile) {
    for (int slot = threadIdx.x; slot < tile.queries; slot += blockDim.x) {
      states[slot] = {query_label(relevance, tile.first + slot), table.cutoff[tile.first + slot]};
    }
    for (int slot = 0; slot < tile.queries; ++slot) {
      sums[slot].precision[lane] = 0;
      sums[slot].hits[lane] = 0;
    }
    if (!kInTable) {
      for (int i = lane; i < tile.queries * bins; i += kLanes) seen[i] = {0, 0};
    }
    __syncthreads();

    const auto begin_step = [&](int64_t first) { load_labels(relevance, first, labels); };
    scan_tile<kWords, Xor>(scan, tile, begin_step, [&](int slot, int64_t first, const auto& counts) {
      const int64_t label = states[slot].label;
      const int cutoff = static_cast<int>(states[slot].cutoff);
      bool any = false;
#pragma unroll
      for (int j = 0; j < Shape<kWords>::kCodes; ++j) any |= counts[j] <= cutoff;
      if (!__any_sync(kWholeWarp, any)) return;

      const int64_t query = tile.first + slot;
      const int64_t* starts = table.starts + query * table.bins * 2;
      int64_t* next = table.counts + (query * scan.parts + tile.part) * table.bins * 2;
#pragma unroll
      for (int j = 0; j < Shape<kWords>::kCodes; ++j) {
        const int distance = counts[j];
        const bool counted = distance <= cutoff;
        const bool relevant = counted && is_relevant(relevance, label, labels[j], query, first + j * kLanes + lane);
        const unsigned equals = __match_any_sync(kWholeWarp, counted ? distance : -1);
        const unsigned relevant_equals = __ballot_sync(kWholeWarp, relevant) & equals;
        const int leader = __ffs(equals) - 1;
        Before before{0, 0};
        if (kInTable) {
          if (counted && lane == leader) {
            before = {next[2 * distance], next[2 * distance + 1]};
            next[2 * distance] = before.all + __popc(equals);
            next[2 * distance + 1] = before.relevant + __popc(relevant_equals);
          }
          before.all = __shfl_sync(kWholeWarp, before.all, leader);
          before.relevant = __shfl_sync(kWholeWarp, before.relevant, leader);
        } else {
          Seen own{0, 0};
          if (counted && lane == leader) {
            Seen* place = seen + slot * bins + distance;
            own = *place;
            *place = {own.all + __popc(equals), own.relevant + __popc(relevant_equals)};
          }
          own.all = __shfl_sync(kWholeWarp, own.all, leader);
          own.relevant = __shfl_sync(kWholeWarp, own.relevant, leader);
          if (relevant) before = {next[2 * distance] + own.all, next[2 * distance + 1] + own.relevant};
        }
        __syncwarp();  // the next leader of this distance reads what this one wrote
        if (!relevant) continue;
        const int64_t rank = starts[2 * distance] + before.all + __popc(equals & lanes_below(lane)) + 1;
        const int64_t hit =
            starts[2 * distance + 1] + before.relevant + __popc(relevant_equals & lanes_below(lane)) + 1;
        if (rank <= window) {
          sums[slot].precision[lane] += static_cast<double>(hit) / static_cast<double>(rank);
          ++sums[slot].hits[lane];
        }
      }
    });

    if (tile.part >= scan.parts) return;
    for (int slot = 0; slot < tile.queries; ++slot) {
      double sum = sums[slot].precision[lane];
      int64_t hits = sums[slot].hits[lane];
      for (int delta = kLanes / 2; delta > 0; delta /= 2) {
        sum += __shfl_down_sync(kWholeWarp, sum, delta);
        hits += __shfl_down_sync(kWholeWarp, hits, delta);
      }
      if (lane == 0) partials[(tile.first + slot) * scan.parts + tile.part] = {sum, hits};
    }
  });
}

void sum_precision(const char* op, const Scan& scan, const Relevance& relevance, const Table& table, int64_t window,
                   Partial* partials, StreamHandle stream) {
  const int64_t bytes = scan.database.bytes;
  int64_t warps = kMaxWarps;  // of a block: fewer where that leaves room for a few queries
  while (warps > 1 && tile_room(bytes, precision_bytes(table.bins, warps)) < 2) warps /= 2;
  const bool in_table = tile_room(bytes, precision_bytes(table.bins, warps)) < 1;
  if (in_table) warps = kMaxWarps;
  const int64_t own_bytes = precision_bytes(in_table ? 0 : table.bins, warps);
  constexpr int kMost = 16;  // longer codes leave room for few queries, as chunks do
  const Scan ranked = tiled(in_table ? by_chunks(scan) : compiled_for<kMost>(scan), max_tile(bytes, own_bytes), warps);
  const auto launch_as = [&](auto kernel) {
    launch(op, kernel, scan_blocks(ranked), scan_threads(ranked), scan_bytes(ranked) + ranked.tile * own_bytes, stream,
           ranked, relevance, table, window, partials);
  };
  if (in_table) return launch_as(precision_kernel<kChunked, true>);
  with_words<kMost>(ranked, [&](auto words) { launch_as(precision_kernel<words.value, false>); });
}

__global__ void __launch_bounds__(kMaxThreads)
    sum_kernel(const Partial* partials, const int64_t* found, int64_t queries, int64_t parts, double* precision_sum,
               int64_t* hits, int64_t* relevant) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t query = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; query < queries; query += step) {
    Partial total{0, 0};
#pragma unroll 8
    for (int64_t part = 0; part < parts; ++part) {
      total.precision_sum += partials[query * parts + part].precision_sum;
      total.hits += partials[query * parts + part].hits;
    }
    precision_sum[query] = total.precision_sum;
    hits[query] = total.hits;
    relevant[query] = found[2 * query + 1];
  }
}

TablePlan plan_precision(int64_t queries, int64_t database, int64_t bytes) {
  return plan_table(queries, database, bytes, 8 * bytes + 1, 2, kPartialWords);
}

}  // namespace

void hamming_histogram(Codes queries, Codes database, Filter filter, int64_t* out, StreamHandle stream) {
  const Scan scan = make_scan(queries, database, filter);
  count_by_distance("hamming_histogram", scan, nullptr, 8 * queries.bytes + 1, out, 1, stream);
}

void relevance_histogram(Codes queries, Codes database, Labels labels, Filter filter, int64_t* out,
                         StreamHandle stream) {
  const Scan scan = make_scan(queries, database, filter);
  const Relevance relevance = relevance_of(labels, queries.rows, database.rows);
  count_by_distance("relevance_histogram", scan, &relevance, 8 * queries.bytes + 1, out, 1, stream);
}

void overlap_histogram(Codes queries, Codes database, Labels labels, int64_t classes, Filter filter, int64_t* out,
                       StreamHandle stream) {
  const Scan scan = make_scan(queries, database, filter);
  const Relevance relevance = relevance_of(labels, queries.rows, database.rows);
  count_by_overlap("overlap_histogram", scan, relevance, 8 * queries.bytes + 1, classes, out, stream);
}

int64_t average_precision_workspace(int64_t queries, int64_t database, int64_t bytes) {
  return plan_precision(queries, database, bytes).workspace();
}

void average_precision_counts(Codes queries, Codes database, Labels labels, Filter filter, int64_t window,
                              double* precision_sum, int64_t* hits, int64_t* relevant, void* workspace, int64_t,
                              StreamHandle stream) {
  const char* op = "average_precision_counts";
  const TablePlan plan = plan_precision(queries.rows, database.rows, queries.bytes);
  for (int64_t first = 0; first < queries.rows; first += plan.group) {
    const int64_t count = std::min(plan.group, queries.rows - first);
    const Scan scan = make_scan(slice(queries, first, count), database, slice(filter, first), nullptr, plan.parts);
    const Relevance relevance = relevance_of(slice(labels, first), count, database.rows);
    const Table table = make_table(plan, count, workspace);
    Partial* partials = reinterpret_cast<Partial*>(table.extra);
    count_by_distance(op, scan, &relevance, plan.bins, table.counts, plan.parts, stream);
    place(op, scan, table, window, stream);
    sum_precision(op, scan, relevance, table, window, partials, stream);
    launch(op, sum_kernel, ceil_div(count, kMaxThreads), kMaxThreads, 0, stream, partials, table.found, count,
           plan.parts, precision_sum + first, hits + first, relevant + first);
  }
}

}  // namespace fasthash::cuda

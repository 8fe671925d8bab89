// What is within a query's bound, by popcount.
#include "candidates.cuh"

namespace fasthash::cuda {
namespace {

__global__ void __launch_bounds__(kMaxThreads, kMinBlocks) filter_kernel(Scan scan, Candidates candidates) {
  const int lane = lane_index();
  for_each_part(scan, [&](int64_t query, int64_t, int64_t begin, int64_t end) {
    const Allowed allowed = allowed_rows(scan, query, end);
    const uint64_t bound = query < scan.queries.rows ? candidates.bounds[query] : 0;
    scan_part<Xor>(scan, query, begin, end, [&](int64_t row, int distance) {
      const uint64_t key = key_of(distance, row);
      const bool wanted = key <= bound && allowed(row);
      const unsigned takers = __ballot_sync(kWholeWarp, wanted);
      if (takers == 0) return;
      const int leader = __ffs(takers) - 1;
      unsigned long long first = 0;
      if (lane == leader) {
        first = atomicAdd(&candidates.counts[query], static_cast<unsigned long long>(__popc(takers)));
      }
      first = __shfl_sync(kWholeWarp, first, leader);
      if (wanted) append(candidates, query, key, first + __popc(takers & lanes_below(lane)));
    });
  });
}

}  // namespace

void filter_by_popcount(const char* op, Codes queries, Codes database, Filter filter, const Candidates& candidates,
                        StreamHandle stream) {
  const Scan scan = make_scan(queries, database, filter, count_parts(queries.rows, database.rows, database.rows));
  const int warps = scan_warps(scan);
  launch(op, filter_kernel, scan_blocks(scan, warps), warps * kLanes, 0, stream, scan, candidates);
}

}  // namespace fasthash::cuda

// Full matrices of bit counts.
#include "fasthash/distance.h"

#include "lists.cuh"
#include "matrix.cuh"
#include "scan.cuh"

namespace fasthash::cuda {
namespace {

template <class Combine>
__global__ void __launch_bounds__(kMaxThreads, kMinBlocks) matrix_kernel(Scan scan, int32_t* out) {
  for_each_part(scan, [&](int64_t query, int64_t, int64_t begin, int64_t end) {
    int32_t* row_out = out + query * scan.database.rows;
    scan_part<Combine>(scan, query, begin, end, [&](int64_t row, int count) {
      if (row < end) row_out[row] = count;
    });
  });
}

template <class Combine>
void matrix(const char* op, Codes a, Codes b, int32_t* out, StreamHandle stream) {
  if (b.rows == 0) return;
  const Scan scan = make_scan(a, b, {}, count_parts(a.rows, b.rows, b.rows));
  const int warps = scan_warps(scan);
  launch(op, matrix_kernel<Combine>, scan_blocks(scan, warps), warps * kLanes, 0, stream, scan, out);
}

}  // namespace

void hamming_distance(Codes a, Codes b, int32_t* out, StreamHandle stream) {
  const char* op = "hamming_distance";
  if (matrix_path_here(a.rows, b.rows, a.bytes) == Path::kTensor) return distances_by_tensor(op, a, b, out, stream);
  matrix<Xor>(op, a, b, out, stream);
}

void label_overlap(Codes a, Codes b, int32_t* out, StreamHandle stream) {
  const char* op = "label_overlap";
  if (matrix_path_here(a.rows, b.rows, a.bytes) == Path::kTensor) return overlaps_by_tensor(op, a, b, out, stream);
  matrix<And>(op, a, b, out, stream);
}

}  // namespace fasthash::cuda

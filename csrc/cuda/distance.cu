// SPDX-License-Identifier: Apache-2.0
// Full matrices of bit counts.
#include "fasthash/distance.h"

#include "lists.cuh"
#include "matrix.cuh"
#include "scan.cuh"

namespace fasthash::cuda {
namespace {

template <int kWords, class Combine>
__global__ void __launch_bounds__(kMaxThreads, Shape<kWords>::kMinBlocks) matrix_kernel(Scan scan, int32_t* out) {
  for_each_tile<kWords, Combine>(scan, [&](const Tile& tile) {
    scan_tile<kWords, Combine>(scan, tile, [&](int slot, int64_t first, const auto& counts) {
      int32_t* row_out = out + (tile.first + slot) * scan.database.rows + first + lane_index();
#pragma unroll
      for (int j = 0; j < Shape<kWords>::kCodes; ++j) {
        if (counts[j] < kMissing) row_out[j * kLanes] = counts[j];
      }
    });
  });
}

template <class Combine, int kMost>
void matrix(const char* op, Codes a, Codes b, int32_t* out, StreamHandle stream) {
  if (b.rows == 0) return;
  const Scan whole = make_scan(a, b, {});
  const Scan scan = tiled(compiled_for<kMost>(whole), whole.tile);
  with_words<kMost>(scan, [&](auto words) {
    launch(op, matrix_kernel<words.value, Combine>, scan_blocks(scan), scan_threads(scan), scan_bytes(scan), stream,
           scan, out);
  });
}

}  // namespace

void hamming_distance(Codes a, Codes b, int32_t* out, StreamHandle stream) {
  const char* op = "hamming_distance";
  if (matrix_path(a.rows, b.rows, a.bytes) == Path::kTensor) return distances_by_tensor(op, a, b, out, stream);
  matrix<Xor, 32>(op, a, b, out, stream);
}

void label_overlap(Codes a, Codes b, int32_t* out, StreamHandle stream) {
  const char* op = "label_overlap";
  if (matrix_path(a.rows, b.rows, a.bytes) == Path::kTensor) return overlaps_by_tensor(op, a, b, out, stream);
  matrix<And, 4>(op, a, b, out, stream);
}

}  // namespace fasthash::cuda

// SPDX-License-Identifier: Apache-2.0
// Full matrices of bit counts, on tensor cores.
#include "matrix.cuh"
#include "tensor_scan.cuh"

namespace fasthash::cuda {
namespace {

// Distances, or, with kShared, the number of common ones.
template <bool kShared>
struct Storing {
  const TensorScan* scan;
  int32_t* out;
  bool in_pairs;  // rows of the result begin where two of its elements may be written at once
  int query_ones[kRowTiles][2];

  __device__ void begin(const Spot&, const int (&ones)[kRowTiles][2]) {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) query_ones[m][h] = ones[m][h];
    }
  }

  __device__ void tile(int64_t) {}

  __device__ int count(int value, int ones, int code_ones) const {
    return kShared ? value - (code_ones >> 1) : ones - 2 * value - (code_ones & 1);
  }

  __device__ void visit(const Spot& spot, const Accumulators& values, const Pair (&code_ones)[kColumnTiles]) const {
    const int64_t rows = scan->database.rows;
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int64_t query = spot.query(m, h);
        if (query >= scan->queries.rows) continue;
#pragma unroll
        for (int n = 0; n < kColumnTiles; ++n) {
          const int64_t row = spot.first + spot.code(n, 0);
          const int x = count(values[n][m][2 * h], query_ones[m][h], code_ones[n].x);
          const int y = count(values[n][m][2 * h + 1], query_ones[m][h], code_ones[n].y);
          int32_t* to = out + query * rows + row;
          if (in_pairs) {  // streaming: a plain store of both would be taken apart again and merged with the branch
                           // below
            if (row < rows) __stcs(reinterpret_cast<int2*>(to), make_int2(x, y));
          } else {
            if (row < rows) to[0] = x;
            if (row + 1 < rows) to[1] = y;
          }
        }
      }
    }
  }
};

template <int kWords, bool kShared>
__global__ void __launch_bounds__(kTensorThreads, kWords == 32 ? 2 : 3)
    matrix_kernel(TensorScan scan, int32_t* out, bool in_pairs) {
  Storing<kShared> storing{};
  storing.scan = &scan;
  storing.out = out;
  storing.in_pairs = in_pairs;
  scan_by_tensor<kWords, Share::kAll>(scan, storing);
}

template <bool kShared>
void matrix(const char* op, Codes a, Codes b, int32_t* out, StreamHandle stream) {
  for_width(a.bytes, [&](auto words) {
    constexpr int kWords = decltype(words)::value;
    const TensorScan scan = make_tensor_scan(a, b, {}, Share::kAll, kTileRows<kWords>);
    const bool in_pairs = b.rows % 2 == 0 && reinterpret_cast<uintptr_t>(out) % sizeof(int2) == 0;
    launch(op, matrix_kernel<kWords, kShared>, tensor_blocks(scan), kTensorThreads, 0, stream, scan, out, in_pairs);
  });
}

}  // namespace

void distances_by_tensor(const char* op, Codes a, Codes b, int32_t* out, StreamHandle stream) {
  matrix<false>(op, a, b, out, stream);
}
void overlaps_by_tensor(const char* op, Codes a, Codes b, int32_t* out, StreamHandle stream) {
  matrix<true>(op, a, b, out, stream);
}

}  // namespace fasthash::cuda

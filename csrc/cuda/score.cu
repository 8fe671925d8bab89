// Rescoring. Sixteen lanes take one candidate, a partial sum each, in the order of score.h: the scores are those of the
// CPU, bit for bit.
#include "fasthash/score.h"

#include "common.cuh"

#ifndef FASTHASH_EMULATION
#include <cuda_fp16.h>
#endif

namespace fasthash::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSums = 16;
constexpr int kAtOnce = kLanes / kSums;  // candidates of a warp

__device__ inline float widened(int8_t x) {
  return x;
}
__device__ inline float widened(float x) {
  return x;
}
__device__ inline float widened(double x) {
  return static_cast<float>(x);
}
__device__ inline float widened(__half x) {
  return __half2float(x);
}
struct Bfloat {
  uint16_t bits;
};
__device__ inline float widened(Bfloat x) {
  return __uint_as_float(uint32_t{x.bits} << 16);
}

// What a lane adds up of one candidate; `row` is null where there is none. Whole warps call it.
template <class T>
struct Products {
  __device__ static float sum(const float* query, const uint8_t* row, int64_t dim, int lane) {
    float sum = 0;
    if (row == nullptr) return sum;
    const T* values = reinterpret_cast<const T*>(row);
    for (int64_t i = lane; i < dim; i += kSums) sum = __fadd_rn(sum, __fmul_rn(query[i], widened(values[i])));
    return sum;
  }
};

// Packed codes: each lane fetches four bytes, and all meet them in turn.
struct Signs {
  __device__ static float sum(const float* query, const uint8_t* row, int64_t dim, int lane) {
    float sum = 0;
    const int64_t bytes = (dim + 7) / 8;
    for (int64_t first = 0; first < bytes; first += 4 * kSums) {
      uint32_t own = 0;
      for (int b = 0; b < 4; ++b) {
        const int64_t byte = first + 4 * lane + b;
        own = own << 8 | (row != nullptr && byte < bytes ? row[byte] : 0u);
      }
      for (int source = 0; source < kSums && first + 4 * source < bytes; ++source) {
        const uint32_t word = __shfl_sync(kWholeWarp, own, source, kSums);
        const int64_t element = 8 * (first + 4 * source) + lane;
        for (int half = 0; half < 2; ++half) {
          const int64_t i = element + kSums * half;
          if (i < dim) sum = __fadd_rn(sum, word >> (31 - lane - kSums * half) & 1 ? query[i] : -query[i]);
        }
      }
    }
    return sum;
  }
};

template <class Sum>
__global__ void __launch_bounds__(kThreads) rescore_kernel(Rescoring rescoring, Documents documents, float* scores) {
  const int lane = lane_index() % kSums;
  const int64_t pairs = rescoring.rows * rescoring.count;
  for (int64_t first = kAtOnce * grid_warp(); first < pairs; first += kAtOnce * grid_warps()) {
    const int64_t pair = first + lane_index() / kSums;
    const int64_t candidate = pair < pairs ? rescoring.candidates[pair] : -1;
    const bool found = candidate >= 0 && candidate < documents.rows;
    const uint8_t* row =
        found ? static_cast<const uint8_t*>(documents.data) + candidate * documents.row_stride : nullptr;
    const float* query = rescoring.queries + min(pair, pairs - 1) / rescoring.count * rescoring.dim;
    float sum = Sum::sum(query, row, rescoring.dim, lane);
    for (int delta = kSums / 2; delta > 0; delta /= 2) {
      sum = __fadd_rn(sum, __shfl_xor_sync(kWholeWarp, sum, delta, kSums));
    }
    if (found && documents.scale != nullptr) sum = __fmul_rn(sum, documents.scale[candidate]);
    if (lane == 0 && pair < pairs) scores[pair] = found ? sum : kNoScore;
  }
}

template <class Sum>
void rescore_as(const Rescoring& rescoring, const Documents& documents, float* scores, StreamHandle stream) {
  constexpr int64_t kPairsABlock = kThreads / kSums;
  launch("rescore", rescore_kernel<Sum>, ceil_div(rescoring.rows * rescoring.count, kPairsABlock), kThreads, 0, stream,
         rescoring, documents, scores);
}

}  // namespace

void rescore(const Rescoring& rescoring, const Documents& documents, float* scores, StreamHandle stream) {
  switch (documents.values) {
    case Values::kSigns:
      return rescore_as<Signs>(rescoring, documents, scores, stream);
    case Values::kInt8:
      return rescore_as<Products<int8_t>>(rescoring, documents, scores, stream);
    case Values::kFloat16:
      return rescore_as<Products<__half>>(rescoring, documents, scores, stream);
    case Values::kBfloat16:
      return rescore_as<Products<Bfloat>>(rescoring, documents, scores, stream);
    case Values::kFloat32:
      return rescore_as<Products<float>>(rescoring, documents, scores, stream);
    case Values::kFloat64:
      return rescore_as<Products<double>>(rescoring, documents, scores, stream);
  }
}

}  // namespace fasthash::cuda

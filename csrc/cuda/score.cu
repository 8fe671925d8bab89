// SPDX-License-Identifier: Apache-2.0
// Rescoring. Four lanes take one candidate, four of the sixteen partial sums of score.h each, so that a lane loads four
// elements at once; the order of the sums is kept, and the scores are those of the CPU, bit for bit.
#include "fasthash/score.h"

#include "rows.cuh"

#ifndef FASTHASH_EMULATION
#include <cuda_fp16.h>
#endif

namespace fasthash::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSums = 16;
constexpr int kOwn = 4;                 // sums of a lane
constexpr int kTeam = kSums / kOwn;     // lanes of a candidate
constexpr int kTeams = kLanes / kTeam;  // candidates of a warp

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

// The next four elements of a row, `left` of which exist. kWide: in one load, all or none exist.
template <bool kWide, class T>
__device__ void load_four(const T* source, int64_t left, T (&values)[kOwn]) {
  if constexpr (kWide) {
    struct alignas(sizeof(T) > 4 ? 16 : 4 * sizeof(T)) Four {
      T value[kOwn];
    };
    if (left <= 0) return;
    const Four loaded = *reinterpret_cast<const Four*>(source);
#pragma unroll
    for (int s = 0; s < kOwn; ++s) values[s] = loaded.value[s];
  } else {
#pragma unroll
    for (int s = 0; s < kOwn; ++s) {
      if (s < left) values[s] = source[s];
    }
  }
}

// What the lanes of a team add up of one candidate: of each sixteen elements, lane number `lane` takes four.
template <class T>
struct Products {
  static constexpr int kAtOnce = 4;  // loads under way

  static bool is_wide(const Rescoring& rescoring, const Documents& documents) {
    constexpr uint64_t kUnit = sizeof(T) > 4 ? 16 : 4 * sizeof(T);
    const uint64_t rows = reinterpret_cast<uintptr_t>(documents.data) | static_cast<uint64_t>(documents.row_stride);
    return rescoring.dim % kOwn == 0 && reinterpret_cast<uintptr_t>(rescoring.queries) % 16 == 0 && rows % kUnit == 0;
  }

  template <bool kWide>
  __device__ static void add(const float* query, const uint8_t* row, int64_t dim, int lane, float (&sums)[kOwn]) {
    const T* values = reinterpret_cast<const T*>(row);
    for (int64_t first = kOwn * lane; first < dim; first += kSums * kAtOnce) {
      T elements[kAtOnce][kOwn] = {};
      float factors[kAtOnce][kOwn] = {};
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int64_t at = first + i * kSums;
        load_four<kWide>(values + at, dim - at, elements[i]);
        load_four<kWide>(query + at, dim - at, factors[i]);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
#pragma unroll
        for (int s = 0; s < kOwn; ++s) {
          if (first + i * kSums + s < dim) {
            sums[s] = __fadd_rn(sums[s], __fmul_rn(factors[i][s], widened(elements[i][s])));
          }
        }
      }
    }
  }
};

// Packed codes: 16 bytes serve a team for eight times sixteen elements.
struct Signs {
  static constexpr int kBytes = 16;

  static bool is_wide(const Rescoring& rescoring, const Documents& documents) {
    const uint64_t rows = reinterpret_cast<uintptr_t>(documents.data) | static_cast<uint64_t>(documents.row_stride);
    const int64_t bits = 8 * kBytes;
    return rescoring.dim % bits == 0 && reinterpret_cast<uintptr_t>(rescoring.queries) % 16 == 0 && rows % kBytes == 0;
  }

  template <bool kWide>
  __device__ static void add(const float* query, const uint8_t* row, int64_t dim, int lane, float (&sums)[kOwn]) {
    const int64_t bytes = (dim + 7) / 8;
    const int shift = 8 * (lane / 2) + 4 * (1 - lane % 2);  // to the four bits of the lane, of the first sixteen
    for (int64_t byte = 0; byte < bytes; byte += kBytes) {
      uint32_t words[kBytes / 4];
      load_words<kWide ? 16 : 1>(row + byte, static_cast<int>(min(bytes - byte, int64_t{kBytes})), words);
#pragma unroll
      for (int i = 0; i < kBytes / 2; ++i) {
        const int64_t at = 8 * byte + i * kSums + kOwn * lane;
        const uint32_t bits = words[i / 2] >> shift >> (16 * (i % 2));
        float factors[kOwn] = {};
        load_four<kWide>(query + at, dim - at, factors);
#pragma unroll
        for (int s = 0; s < kOwn; ++s) {
          if (at + s < dim) sums[s] = __fadd_rn(sums[s], bits >> (3 - s) & 1 ? factors[s] : -factors[s]);
        }
      }
    }
  }
};

template <class Sum, bool kWide>
__global__ void __launch_bounds__(kThreads) rescore_kernel(Rescoring rescoring, Documents documents, float* scores) {
  const int lane = lane_index() % kTeam;
  const int64_t pairs = rescoring.rows * rescoring.count;
  for (int64_t first = kTeams * grid_warp(); first < pairs; first += kTeams * grid_warps()) {
    const int64_t pair = first + lane_index() / kTeam;
    const int64_t candidate = pair < pairs ? rescoring.candidates[pair] : -1;
    const bool found = candidate >= 0 && candidate < documents.rows;
    float sums[kOwn] = {};
    if (found) {
      const uint8_t* row = static_cast<const uint8_t*>(documents.data) + candidate * documents.row_stride;
      Sum::template add<kWide>(rescoring.queries + pair / rescoring.count * rescoring.dim, row, rescoring.dim, lane,
                               sums);
    }
    // Sum number j lies in lane j / 4: j + 8 is added to j across lanes, then j + 4; then 2 and 1 within a lane.
    for (int delta = kTeam / 2; delta > 0; delta /= 2) {
#pragma unroll
      for (int s = 0; s < kOwn; ++s) {
        sums[s] = __fadd_rn(sums[s], __shfl_xor_sync(kWholeWarp, sums[s], delta, kTeam));
      }
    }
    float sum = __fadd_rn(__fadd_rn(sums[0], sums[2]), __fadd_rn(sums[1], sums[3]));
    if (found && documents.scale != nullptr) sum = __fmul_rn(sum, documents.scale[candidate]);
    if (lane == 0 && pair < pairs) scores[pair] = found ? sum : kNoScore;
  }
}

template <class Sum>
void rescore_as(const Rescoring& rescoring, const Documents& documents, float* scores, StreamHandle stream) {
  const auto kernel = Sum::is_wide(rescoring, documents) ? rescore_kernel<Sum, true> : rescore_kernel<Sum, false>;
  launch("rescore", kernel, ceil_div(rescoring.rows * rescoring.count, kThreads / kTeam), kThreads, 0, stream,
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

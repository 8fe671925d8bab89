// SPDX-License-Identifier: Apache-2.0
// What all CUDA kernels share: the one way to launch, and small device helpers.
//
// These sources compile with nvcc, and with a C++ compiler against csrc/emulation/cuda_emulation.h. Kernels take
// pointers and sizes, never allocate, never wait, keep no state, and walk their work with a stride of the grid.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "fasthash/types.h"

#ifdef FASTHASH_EMULATION
#include "cuda_emulation.h"
#else
#include <cuda_runtime.h>
// A shared array of fixed size. (The emulation needs to know of each one, to poison it.)
#define FASTHASH_SHARED(type, name, extent) __shared__ type name[extent]
#endif

namespace fasthash::cuda {

constexpr int kLanes = 32;
constexpr unsigned kWholeWarp = 0xffffffffu;
// Blocks of a launch at most, and 64-bit words of a table of counts. So small under emulation that small inputs already
// walk the loops over the grid and over groups of queries.
#ifdef FASTHASH_EMULATION
constexpr int64_t kMaxGrid = 3;
constexpr int64_t kTableWords = int64_t{32} << 10;
#else
constexpr int64_t kMaxGrid = int64_t{1} << 20;
constexpr int64_t kTableWords = int64_t{32} << 20;  // 256 MB
#endif

inline int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

template <class T>
struct Exactly {  // keeps a parameter out of template deduction
  using type = T;
};

#ifndef FASTHASH_EMULATION
inline void check(const char* op, cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // reported here; not again by the next caller who asks
  throw std::runtime_error(std::string(op) + ": " + cudaGetErrorName(error) + ", " + cudaGetErrorString(error));
}
#endif

// Lets a kernel's next launch have that much dynamic shared memory. Needed above 48 KB, static arrays included.
template <class... Params>
void allow_shared(const char* op, void (*kernel)(Params...), size_t bytes) {
  const void* function = reinterpret_cast<const void*>(kernel);
#ifdef FASTHASH_EMULATION
  emulation::allow_shared(op, function, bytes);
#else
  check(op, cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
#endif
}

// Launches min(blocks, kMaxGrid) blocks; nothing when there are none. Throws std::runtime_error with the op's name and
// CUDA's name of the error.
template <class... Params>
void launch(const char* op, void (*kernel)(Params...), int64_t blocks, int threads, size_t shared_bytes,
            StreamHandle stream, typename Exactly<Params>::type... args) {
  if (blocks <= 0) return;
  const dim3 grid(static_cast<unsigned>(std::min(blocks, kMaxGrid)));
#ifdef FASTHASH_EMULATION
  static_cast<void>(stream);
  emulation::launch(op, reinterpret_cast<const void*>(kernel), grid, dim3(threads), shared_bytes,
                    [&] { kernel(args...); });
#else
  void* pointers[] = {&args...};
  check(op, cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, dim3(threads), pointers, shared_bytes,
                             reinterpret_cast<cudaStream_t>(stream)));
#endif
}

// The dynamic shared memory of the block.
template <class T>
__device__ T* dynamic_shared() {
#ifdef FASTHASH_EMULATION
  return static_cast<T*>(emulation::dynamic_shared());
#else
  extern __shared__ __align__(16) unsigned char fasthash_dynamic_shared[];
  return reinterpret_cast<T*>(fasthash_dynamic_shared);
#endif
}

__device__ inline int lane_index() {
  return threadIdx.x % kLanes;
}
__device__ inline int warp_index() {
  return threadIdx.x / kLanes;
}
__device__ inline unsigned lanes_below(int lane) {
  return (1u << lane) - 1;
}

// The first warp of the whole grid's warps, and how many there are: for work split by warps.
__device__ inline int64_t grid_warp() {
  return int64_t{blockIdx.x} * (blockDim.x / kLanes) + warp_index();
}
__device__ inline int64_t grid_warps() {
  return int64_t{gridDim.x} * (blockDim.x / kLanes);
}

}  // namespace fasthash::cuda

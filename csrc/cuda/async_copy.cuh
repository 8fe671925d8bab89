// SPDX-License-Identifier: Apache-2.0
// Copies from global to shared memory that go on while a thread computes (cp.async).
//
// A thread starts copies, closes them into groups, and waits for groups, oldest first. What arrived is its own until a
// barrier shows it to others; a destination is undefined from the start of its copy to the wait.
#pragma once

#include "common.cuh"

namespace fasthash::cuda {

// Starts the copy of `Bytes` bytes (4, 8 or 16), to which both addresses are aligned. Only the first `count` of them
// are read; the rest of the destination becomes zero.
template <int Bytes>
__device__ inline void async_copy(void* shared, const void* global, int count = Bytes) {
  static_assert(Bytes == 4 || Bytes == 8 || Bytes == 16, "cp.async copies 4, 8 or 16 bytes");
#if defined(FASTHASH_EMULATION)
  emulation::async_copy(shared, global, Bytes, count);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const unsigned to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  const size_t from = __cvta_generic_to_global(global);
  if constexpr (Bytes == 16) {  // past the L1 cache, which only this size can do
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(count) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(Bytes), "r"(count)
                 : "memory");
  }
#else
  for (int i = 0; i < Bytes; ++i) {
    static_cast<unsigned char*>(shared)[i] = i < count ? static_cast<const unsigned char*>(global)[i] : 0;
  }
#endif
}

// Closes the thread's copies since the last call into a group, which may be empty.
__device__ inline void async_commit() {
#if defined(FASTHASH_EMULATION)
  emulation::async_commit();
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until all but the latest `Pending` of the thread's groups have arrived.
template <int Pending>
__device__ inline void async_wait() {
#if defined(FASTHASH_EMULATION)
  emulation::async_wait(Pending);
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}

}  // namespace fasthash::cuda

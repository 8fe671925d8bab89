// SPDX-License-Identifier: Apache-2.0
// Kernels with one planted fault each, and the cure. A block has 64 threads and as many places of dynamic shared
// memory.
#include "faults.h"

#include "async_copy.cuh"

namespace fasthash::emulation {
namespace {

using cuda::kLanes;
using cuda::kWholeWarp;

constexpr int kThreads = 64;

__device__ int32_t* shared_places() {
  return cuda::dynamic_shared<int32_t>();
}
__device__ int me() {
  return static_cast<int>(threadIdx.x);
}
// What the next thread has to bring, so that each gets its own index.
__device__ int before_me() {
  return (me() + kThreads - 1) % kThreads;
}

// Reads what the next thread wrote, without a barrier.
__global__ void missing_barrier(int32_t* out, bool cured) {
  shared_places()[me()] = before_me();
  if (cured) __syncthreads();
  out[me()] = shared_places()[(me() + 1) % kThreads];
}

// Writes to a place again that the thread before may still have to read.
__global__ void early_reuse(int32_t* out, bool cured) {
  shared_places()[me()] = before_me();
  __syncthreads();
  const int32_t own = shared_places()[(me() + 1) % kThreads];
  if (cured) __syncthreads();
  shared_places()[me()] = own;
  out[me()] = shared_places()[me()];
}

// Lanes of a warp pass values on through shared memory, without __syncwarp.
__global__ void missing_warp_sync(int32_t* out, bool cured) {
  shared_places()[me()] = before_me();
  if (cured) __syncwarp();
  const int32_t own = shared_places()[me() / kLanes * kLanes + (me() + 1) % kLanes];
  out[me()] = me() % kLanes == kLanes - 1 ? me() : own;
}

// A vote makes lanes meet, but puts no memory in order.
__global__ void vote_for_sync(int32_t* out, bool cured) {
  shared_places()[me()] = me();
  __any_sync(kWholeWarp, 1);
  if (cured) __syncwarp();
  out[me()] = shared_places()[me() ^ 1] ^ 1;
}

// All threads count in one place, without atomics.
__global__ void plain_counter(int32_t* out, bool cured) {
  if (me() == 0) shared_places()[0] = 0;
  __syncthreads();
  if (cured) {
    atomicAdd(&shared_places()[0], 1);
  } else {
    ++shared_places()[0];
  }
  __syncthreads();
  out[me()] = shared_places()[0] - kThreads + me();
}

__global__ void unwritten(int32_t* out, bool cured) {
  if (cured) shared_places()[me()] = me();
  out[me()] = shared_places()[me()];
}

// The last thread writes one place too far.
__global__ void dynamic_index(int32_t* out, bool cured) {
  shared_places()[me() + !cured] = me();
  out[me()] = me();
}
__global__ void static_index(int32_t* out, bool cured) {
  FASTHASH_SHARED(int32_t, first, kThreads);
  FASTHASH_SHARED(int32_t, second, kThreads);
  second[me()] = me();
  first[me() + !cured] = me();
  out[me()] = second[me()];
}

// The halves of the block meet different barriers.
__global__ void divergent_barrier(int32_t* out, bool cured) {
  if (cured || me() < kThreads / 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[me()] = me();
}

// The upper half of the block never meets the barrier.
__global__ void missed_barrier(int32_t* out, bool cured) {
  if (cured || me() < kThreads / 2) __syncthreads();
  out[me()] = me();
}

__global__ void divergent_warp_sync(int32_t* out, bool cured) {
  if (cured || me() % 2 == 0) {
    __syncwarp();
  } else {
    __syncwarp();
  }
  out[me()] = me();
}

// Lane 31 has left when the others shuffle with a mask that names it.
__global__ void exited_lane(int32_t* out, bool cured) {
  out[me()] = me();
  if (!cured && me() % kLanes == 31) return;
  out[me()] += __shfl_sync(kWholeWarp, me() % kLanes, 31) - 31;
}

// The source is a lane outside the mask, which is right.
__global__ void outside_lane(int32_t* out, bool cured) {
  if (me() % kLanes < 16) out[me()] = me() - 3 + __shfl_sync(0x0000ffffu, me() % kLanes, cured ? 3 : 20);
  if (me() % kLanes >= 16) out[me()] = me();
}

// The mask does not name the caller.
__global__ void foreign_mask(int32_t* out, bool cured) {
  out[me()] = me();
  if (me() % kLanes < 16) __syncwarp(cured ? 0x0000ffffu : 0xffff0000u);
}

// Copies a place and reads the next thread's, without waiting for the copies.
__global__ void missing_wait(int32_t* out, bool cured) {
  out[me()] = before_me();
  cuda::async_copy<4>(&shared_places()[me()], &out[me()]);
  cuda::async_commit();
  if (cured) cuda::async_wait<0>();
  __syncthreads();
  out[me()] = shared_places()[(me() + 1) % kThreads];
}

// Starts a copy to a place that the thread before may still have to read.
__global__ void early_copy(int32_t* out, bool cured) {
  out[me()] = me();
  shared_places()[me()] = before_me();
  __syncthreads();
  const int32_t own = shared_places()[(me() + 1) % kThreads];
  if (cured) __syncthreads();
  cuda::async_copy<4>(&shared_places()[me()], &out[me()]);
  cuda::async_commit();
  cuda::async_wait<0>();
  out[me()] = own;
}

__global__ void copy_outside(int32_t* out, bool cured) {
  cuda::async_copy<4>(&shared_places()[me() + !cured], &out[me()]);
  out[me()] = me();
}
__global__ void misaligned_copy(int32_t* out, bool cured) {
  out[me()] = me();
  if (me() == 0) cuda::async_copy<8>(&shared_places()[cured ? 0 : 1], out);
}

// Blocks take places as they come.
__global__ void order_of_blocks(int32_t* out, bool cured) {
  FASTHASH_SHARED(int32_t, ticket, 1);
  if (me() == 0) ticket[0] = cured ? static_cast<int32_t>(blockIdx.x) : atomicAdd(&out[kThreads - 1], 1) % 3;
  __syncthreads();
  for (int i = me(); i < kThreads; i += kThreads) {
    if (i % 3 == ticket[0]) out[i] = i - ticket[0] + static_cast<int32_t>(blockIdx.x);
  }
}

__global__ void fill(int32_t* out, bool) {
  if (me() < kThreads) out[me()] = me();
}
__global__ void fill_through_static(int32_t* out, bool) {
  FASTHASH_SHARED(int32_t, places, kThreads);
  places[me()] = me();
  out[me()] = places[me()];
}

constexpr size_t kDynamic = kThreads * sizeof(int32_t);

template <void (*kKernel)(int32_t*, bool), int kBlocks = 1>
void run(const char* name, int32_t* out, bool cured) {
  cuda::launch(name, kKernel, kBlocks, kThreads, kDynamic, 0, out, cured);
}

void too_many_threads(const char* name, int32_t* out, bool cured) {
  cuda::launch(name, fill, 1, cured ? 1024 : 1056, 0, 0, out, cured);
}
void no_blocks(const char* name, int32_t* out, bool cured) {
  launch(name, nullptr, dim3(cured), dim3(kThreads), 0, [&] { fill(out, cured); });
}
void too_much_dynamic(const char* name, int32_t* out, bool cured) {
  if (cured) cuda::allow_shared(name, fill, kSharedBytes + 4);
  cuda::launch(name, fill, 1, kThreads, kSharedBytes + 4, 0, out, cured);
}
void too_much_altogether(const char* name, int32_t* out, bool cured) {
  if (cured) cuda::allow_shared(name, fill_through_static, kSharedBytes);
  cuda::launch(name, fill_through_static, 1, kThreads, kSharedBytes, 0, out, cured);
}
void beyond_the_device(const char* name, int32_t* out, bool cured) {
  const size_t bytes = kSharedLimit + (cured ? 0 : 4);
  cuda::allow_shared(name, fill, bytes);
  cuda::launch(name, fill, 1, kThreads, bytes, 0, out, cured);
}

template <int kPending>
__global__ void groups_kernel(int32_t* out, int count) {
  int32_t* places = shared_places() + 4 * me();
  int32_t* own = out + 4 * me();
  for (int i = 0; i < 4; ++i) places[i] = -1;
  cuda::async_copy<4>(&places[0], &own[0]);
  cuda::async_commit();
  cuda::async_copy<4>(&places[1], &own[1]);
  cuda::async_commit();
  cuda::async_copy<8>(&places[2], &own[2], count);
  cuda::async_commit();
  cuda::async_wait<kPending>();
  for (int i = 0; i < 4; ++i) own[i] = places[i];
}

}  // namespace

std::vector<PlantedFault> planted_faults() {
#define FASTHASH_PLANTED(kernel) \
  {                              \
    #kernel, run<kernel>         \
  }
  return {
      FASTHASH_PLANTED(missing_barrier),
      FASTHASH_PLANTED(early_reuse),
      FASTHASH_PLANTED(missing_warp_sync),
      FASTHASH_PLANTED(vote_for_sync),
      FASTHASH_PLANTED(plain_counter),
      FASTHASH_PLANTED(unwritten),
      FASTHASH_PLANTED(dynamic_index),
      FASTHASH_PLANTED(static_index),
      FASTHASH_PLANTED(divergent_barrier),
      FASTHASH_PLANTED(missed_barrier),
      FASTHASH_PLANTED(divergent_warp_sync),
      FASTHASH_PLANTED(exited_lane),
      FASTHASH_PLANTED(outside_lane),
      FASTHASH_PLANTED(foreign_mask),
      FASTHASH_PLANTED(missing_wait),
      FASTHASH_PLANTED(early_copy),
      FASTHASH_PLANTED(copy_outside),
      FASTHASH_PLANTED(misaligned_copy),
      {"order_of_blocks", run<order_of_blocks, 3>},
      {"too_many_threads", too_many_threads},
      {"no_blocks", no_blocks},
      {"too_much_dynamic", too_much_dynamic},
      {"too_much_altogether", too_much_altogether},
      {"beyond_the_device", beyond_the_device},
  };
}

void async_groups(int32_t* out, int pending, int count) {
  void (*kernels[])(int32_t*, int) = {groups_kernel<0>, groups_kernel<1>, groups_kernel<2>, groups_kernel<3>};
  cuda::launch("async_groups", kernels[pending], 1, kThreads / 4, kDynamic, 0, out, count);
}

}  // namespace fasthash::emulation

// Kernels with planted faults, one each, and what they would be without: they show that the emulation sees them.
#include "faults.h"

#include "async_copy.cuh"

namespace fasthash::emulation {
namespace {

using cuda::kWholeWarp;

// Each thread writes its index and reads its neighbour's. Without the barrier, the neighbour may not have written.
__global__ void neighbour_kernel(int32_t* out, bool with_barrier) {
  FASTHASH_SHARED(int32_t, shared, 64);
  shared[threadIdx.x] = static_cast<int32_t>(threadIdx.x);
  if (with_barrier) __syncthreads();
  out[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

// The lower half of the threads meets one barrier, the upper half another.
__global__ void divergent_barrier_kernel(int32_t* out) {
  if (threadIdx.x < blockDim.x / 2) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

// The upper half of the threads never meets the barrier.
__global__ void missed_barrier_kernel(int32_t* out) {
  if (threadIdx.x >= blockDim.x / 2) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

// Lane 31 has left when the others shuffle with a mask that names it.
__global__ void exited_lane_kernel(int32_t* out) {
  const int lane = cuda::lane_index();
  if (lane == 31) return;
  out[threadIdx.x] = __shfl_sync(kWholeWarp, lane, 31);
}

// The mask is right, but the source is a lane outside it.
__global__ void outside_lane_kernel(int32_t* out) {
  const int lane = cuda::lane_index();
  if (lane < 16) out[threadIdx.x] = __shfl_sync(0x0000ffffu, lane, 20);
}

// Shared memory read before anyone wrote it.
__global__ void unwritten_kernel(int32_t* out) {
  out[threadIdx.x] = cuda::dynamic_shared<int32_t>()[threadIdx.x];
}

// Each thread copies its four places of `out`, then reads its neighbour's. Without the wait they have not arrived.
__global__ void async_neighbour_kernel(int32_t* out, bool with_wait) {
  int32_t* shared = cuda::dynamic_shared<int32_t>();
  cuda::async_copy<16>(&shared[4 * threadIdx.x], &out[4 * threadIdx.x]);
  cuda::async_commit();
  if (with_wait) cuda::async_wait<0>();
  __syncthreads();
  for (int i = 0; i < 4; ++i) out[4 * threadIdx.x + i] = shared[4 * ((threadIdx.x + 1) % blockDim.x) + i];
}

// Copies of the thread's four places in three groups: 4 bytes, then 4 bytes, then 8, of which `count` are read.
template <int Pending>
__global__ void async_groups_kernel(int32_t* out, int count) {
  int32_t* shared = cuda::dynamic_shared<int32_t>() + 4 * threadIdx.x;
  int32_t* own = out + 4 * threadIdx.x;
  cuda::async_copy<4>(&shared[0], &own[0]);
  cuda::async_commit();
  cuda::async_copy<4>(&shared[1], &own[1]);
  cuda::async_commit();
  cuda::async_copy<8>(&shared[2], &own[2], count);
  cuda::async_commit();
  cuda::async_wait<Pending>();
  for (int i = 0; i < 4; ++i) own[i] = shared[i];
}

// Starts a copy behind the end of shared memory.
__global__ void async_outside_kernel(int32_t* out) {
  cuda::async_copy<4>(&cuda::dynamic_shared<int32_t>()[threadIdx.x + 1], &out[threadIdx.x]);
}

constexpr int kThreads = 64;

void run(const char* op, void (*kernel)(int32_t*), int32_t* out) {
  cuda::launch(op, kernel, 1, kThreads, kThreads * sizeof(int32_t), 0, out);
}

}  // namespace

void neighbour(int32_t* out, bool with_barrier) {
  cuda::launch("neighbour", neighbour_kernel, 1, kThreads, 0, 0, out, with_barrier);
}
void async_neighbour(int32_t* out, bool with_wait) {
  cuda::launch("async_neighbour", async_neighbour_kernel, 1, kThreads / 4, kThreads * sizeof(int32_t), 0, out,
               with_wait);
}
void async_groups(int32_t* out, int pending, int count) {
  void (*kernels[])(int32_t*, int) = {async_groups_kernel<0>, async_groups_kernel<1>, async_groups_kernel<2>,
                                      async_groups_kernel<3>};
  cuda::launch("async_groups", kernels[pending], 1, kThreads / 4, kThreads * sizeof(int32_t), 0, out, count);
}
void async_outside(int32_t* out) {
  run("async_outside", async_outside_kernel, out);
}
void divergent_barrier(int32_t* out) {
  run("divergent_barrier", divergent_barrier_kernel, out);
}
void missed_barrier(int32_t* out) {
  run("missed_barrier", missed_barrier_kernel, out);
}
void exited_lane(int32_t* out) {
  run("exited_lane", exited_lane_kernel, out);
}
void outside_lane(int32_t* out) {
  run("outside_lane", outside_lane_kernel, out);
}
void unwritten(int32_t* out) {
  run("unwritten", unwritten_kernel, out);
}

}  // namespace fasthash::emulation

// SPDX-License-Identifier: Apache-2.0
// Stands in for the CUDA runtime and language, so that the kernels of csrc/cuda run on a CPU, in tests.
//
// Each thread of a block is a fiber. Threads run one at a time, from one meeting point (barrier, vote, shuffle) to the
// next, in an order that set_seed() shuffles; blocks run one after another, in an order that it shuffles too. What CUDA
// leaves undefined is reported as a Fault: a meeting that some thread cannot reach, barriers at different places, a
// shuffle from a lane that does not take part, a launch that no device takes, and whatever shared_memory.h sees.
// Nothing is said about speed, and memory is sequentially consistent, unlike a GPU's. One launch runs at a time.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "shared_memory.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

// Vectors, aligned as on a device.
struct alignas(8) int2 {
  int x, y;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) ulonglong2 {
  unsigned long long x, y;
};
inline int2 make_int2(int x, int y) {
  return {x, y};
}
inline uint2 make_uint2(unsigned x, unsigned y) {
  return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}
inline ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) {
  return {x, y};
}

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

inline uint3 threadIdx{};
inline uint3 blockIdx{};
inline dim3 blockDim;
inline dim3 gridDim;
constexpr int warpSize = 32;

using std::max;
using std::min;

// A function whose loads and stores are not reported: what it does counts as one access.
#define FASTHASH_UNSEEN __attribute__((no_sanitize("thread"), noinline))

namespace fasthash::emulation {

using Where = std::source_location;
using Lanes = std::array<uint64_t, 32>;

// What CUDA leaves undefined, with the op, the block, the thread and the primitive.
struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Seed of the order of threads and blocks, from now on; 0 = in order of their indices.
void set_seed(uint64_t seed);
// What fills shared memory before each block. It goes with the seed, so that no kernel can live with it by chance.
unsigned char poison();
// Whether accesses to shared memory are watched, where the build can; they are by default.
void watch(bool on);

constexpr unsigned kMaxThreads = 1024;             // of a block
constexpr size_t kSharedBytes = size_t{48} << 10;  // of a block whose kernel did not ask for more
// Shared memory that a block may ask for: 99 KB on sm_86, 89 and 120, which is what counts here until set_shared_limit
// says otherwise; 163 KB on sm_80; 227 KB on sm_90 and sm_100.
constexpr size_t kSharedLimit = size_t{99} << 10;
void set_shared_limit(size_t bytes);

// Lets a kernel have that much dynamic shared memory at its next launch.
void allow_shared(const char* op, const void* kernel, size_t bytes);
// Runs `thread`, which calls the kernel, once for each thread of the grid.
void launch(const char* op, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes,
            const std::function<void()>& thread);

void* dynamic_shared();
// The block's memory for the shared array declared at `site`.
void* static_shared(const void* site, const char* name, size_t bytes, size_t align);
// An access to shared memory by the current thread.
void see(const void* address, size_t bytes, Access access);

// Meets the block; returns how many threads brought a predicate that holds.
int barrier(const char* primitive, bool predicate, Where where);
// Meets the lanes of `mask`; returns what each of them brought, and 0 for all others, until the caller's next meeting.
const Lanes& meet(const char* primitive, unsigned mask, uint64_t value, Where where);
// Meets the lanes of `mask`, and puts what they do to shared memory in order.
void sync_warp(unsigned mask, Where where);

// Copies of csrc/cuda/async_copy.cuh. Data is there when its group has been waited for; until then the destination is
// poison, so that neither a missing wait nor a reader who is not done yet goes unseen.
void async_copy(void* shared, const void* global, int bytes, int count);
void async_commit();
void async_wait(int pending);

[[noreturn]] void fail(const char* primitive, const std::string& what);
int lane_id();

template <class T>
uint64_t to_bits(T value) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(uint64_t));
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
template <class T>
T from_bits(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

// `source` < 0 = the caller's own value, as CUDA does past the edge of a segment.
template <class T>
T shuffle(const char* primitive, unsigned mask, T value, int source, Where where) {
  const Lanes& lanes = meet(primitive, mask, to_bits(value), where);
  if (source < 0) return value;
  if (!(mask >> source & 1)) fail(primitive, "reads lane " + std::to_string(source) + ", outside the mask");
  return from_bits<T>(lanes[source]);
}

template <class T, class Combine>
T reduce(const char* primitive, unsigned mask, T value, Where where, Combine combine) {
  const Lanes& lanes = meet(primitive, mask, to_bits(value), where);
  T result{};
  bool first = true;
  for (int i = 0; i < 32; ++i) {
    if (!(mask >> i & 1)) continue;
    result = first ? from_bits<T>(lanes[i]) : combine(result, from_bits<T>(lanes[i]));
    first = false;
  }
  return result;
}

}  // namespace fasthash::emulation

#define FASTHASH_SHARED(type, name, extent)                                   \
  static char name##_site;                                                    \
  type* const name = static_cast<type*>(::fasthash::emulation::static_shared( \
      &name##_site, #name, sizeof(type) * static_cast<size_t>(extent), alignof(type)))

#include "cuda_matrix.h"
#include "cuda_primitives.h"

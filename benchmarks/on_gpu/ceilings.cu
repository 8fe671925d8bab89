// SPDX-License-Identifier: Apache-2.0
// Timed loops for gpu_ceilings.py, which holds the same arithmetic in NumPy and compares every result.
//
// A loop is 64 instructions of one kind a round (and what they need), on eight independent chains a thread, from
// registers. All blocks run the same numbers. The instructions that the compiler made of a loop are counted by sass.py.
#include <cstring>
#include <string>

#include "b1.cuh"
#include "common.cuh"

namespace {

using fasthash::cuda::ceil_div;
using fasthash::cuda::kLanes;
using fasthash::cuda::launch;
using fasthash::cuda::StreamHandle;

constexpr int kThreads = 256;
constexpr int kChains = 8;
constexpr int kUnroll = 8;  // steps of a round
constexpr int kBins = 1025;

// Clocks of the multiprocessor and nanoseconds that passed, of one thread.
struct Stopwatch {
  uint64_t clocks = 0, nanoseconds = 0;
};

__device__ Stopwatch now() {
  Stopwatch time;
#ifndef FASTHASH_EMULATION
  time.clocks = static_cast<uint64_t>(clock64());
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(time.nanoseconds));
#endif
  return time;
}

__device__ void stop(Stopwatch start, Stopwatch* out) {
  if (blockIdx.x != 0 || threadIdx.x != 0) return;
  const Stopwatch end = now();
  *out = {end.clocks - start.clocks, end.nanoseconds - start.nanoseconds};
}

// The steps: x are the chains, y numbers of the thread that stay (or count).

struct Popcount {
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&y)[kChains], bool) {
    for (int i = 0; i < kChains; ++i) x[i] = static_cast<uint32_t>(__popc(x[i])) ^ y[i];
  }
};

struct Logic {  // not linear, so that no two of them are one function of three inputs
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&)[kChains], bool) {
    for (int i = 0; i < kChains; ++i) x[i] ^= x[(i + 1) % kChains] & x[(i + 2) % kChains];
  }
};

struct Add {
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&)[kChains], bool) {
    for (int i = 0; i < kChains; ++i) x[i] += x[(i + 1) % kChains];
  }
};

struct FloatAdd {
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&y)[kChains], bool) {
    for (int i = 0; i < kChains; ++i) {
      float sum, term;
      memcpy(&sum, &x[i], sizeof(sum));
      memcpy(&term, &y[i], sizeof(term));
      sum += term;
      memcpy(&x[i], &sum, sizeof(sum));
    }
  }
};

// Maxima and minima in turn, and no two inputs together twice, so that no instruction serves two of them.
struct Max {
  template <class Choose>
  static __device__ void step(uint32_t (&x)[kChains], const Choose& choose) {
    for (int i = 0; i < kChains; ++i) {
      const auto own = static_cast<int32_t>(x[i]), next = static_cast<int32_t>(x[(i + 1) % kChains]);
      x[i] = static_cast<uint32_t>(choose(own, next, static_cast<int32_t>(x[(i + 3) % kChains])));
    }
  }
};

struct MaxOfTwo : Max {
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&)[kChains], bool even) {
    if (even) return Max::step(x, [](int32_t a, int32_t b, int32_t) { return max(a, b); });
    Max::step(x, [](int32_t a, int32_t b, int32_t) { return min(a, b); });
  }
};

struct MaxOfThree : Max {
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&)[kChains], bool even) {
    if (even) return Max::step(x, [](int32_t a, int32_t b, int32_t c) { return max(max(a, b), c); });
    Max::step(x, [](int32_t a, int32_t b, int32_t c) { return min(min(a, b), c); });
  }
};

// Eight numbers against a threshold that moves: x[0] counts the steps in which one of y is below it.
struct Compare {
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&y)[kChains], bool) {
#ifdef FASTHASH_EMULATION
    bool below = false;
    for (int i = 0; i < kChains; ++i) below |= static_cast<int32_t>(y[i]) < static_cast<int32_t>(x[1]);
    x[0] += below;
#else
    asm volatile(
        "{\n .reg .pred p;\n .reg .u32 t;\n"
        " setp.lt.s32 p, %1, %9;\n setp.lt.or.s32 p, %2, %9, p;\n setp.lt.or.s32 p, %3, %9, p;\n"
        " setp.lt.or.s32 p, %4, %9, p;\n setp.lt.or.s32 p, %5, %9, p;\n setp.lt.or.s32 p, %6, %9, p;\n"
        " setp.lt.or.s32 p, %7, %9, p;\n setp.lt.or.s32 p, %8, %9, p;\n"
        " selp.u32 t, 1, 0, p;\n add.u32 %0, %0, t;\n}"
        : "+r"(x[0])
        : "r"(y[0]), "r"(y[1]), "r"(y[2]), "r"(y[3]), "r"(y[4]), "r"(y[5]), "r"(y[6]), "r"(y[7]), "r"(x[1]));
#endif
    x[1] += x[2];
  }
};

// What a search does with a word of a pair, without the compare: exclusive or, popcount, add.
struct Pair {
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&y)[kChains], bool) {
    const uint32_t word = y[0];
    for (int i = 1; i < kChains; ++i) x[i] += static_cast<uint32_t>(__popc(word ^ y[i]));
    x[0] += static_cast<uint32_t>(__popc(word));
    y[0] += 0x9e3779b9u;
  }
};

// seeds (2 * kChains, kThreads); out (blocks, kChains, kThreads).
template <class Loop>
__global__ void __launch_bounds__(kThreads)
    run(int64_t rounds, const uint32_t* seeds, uint32_t* out, Stopwatch* watch) {
  const Stopwatch start = now();
  uint32_t x[kChains], y[kChains];
  for (int i = 0; i < kChains; ++i) x[i] = seeds[i * kThreads + threadIdx.x];
  for (int i = 0; i < kChains; ++i) y[i] = seeds[(kChains + i) * kThreads + threadIdx.x];
#pragma unroll 1
  for (int64_t round = 0; round < rounds; ++round) {
#pragma unroll
    for (int step = 0; step < kUnroll; ++step) Loop::step(x, y, step % 2 == 0);
  }
  for (int i = 0; i < kChains; ++i) out[(int64_t{blockIdx.x} * kChains + i) * kThreads + threadIdx.x] = x[i];
  stop(start, watch);
}

// Binary matrix products of the tensor cores: c (16, 8) int32 += popcount of a (16, k) AND b (k, 8).
template <int kDepth>
__device__ void multiply(int (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[kDepth / 128]) {
  if constexpr (kDepth == 256) {
    fasthash::cuda::b1_mma_256(c, a, b[0], b[1], c);
  } else {
    fasthash::cuda::b1_mma_128(c, a, b[0], c);
  }
}

// Eight products a step, of one a with eight b. seeds (20, kThreads): a, then b; out (blocks, 4 * kChains, kThreads).
template <int kDepth>
__global__ void __launch_bounds__(kThreads)
    products(int64_t rounds, const uint32_t* seeds, uint32_t* out, Stopwatch* watch) {
  const Stopwatch start = now();
  uint32_t a[4], b[kChains][kDepth / 128];
  int c[kChains][4] = {};
  for (int i = 0; i < 4; ++i) a[i] = seeds[i * kThreads + threadIdx.x];
  for (int chain = 0; chain < kChains; ++chain) {
    for (int i = 0; i < kDepth / 128; ++i) b[chain][i] = seeds[(4 + 2 * chain + i) * kThreads + threadIdx.x];
  }
#pragma unroll 1
  for (int64_t round = 0; round < rounds; ++round) {
#pragma unroll
    for (int step = 0; step < kUnroll; ++step) {
      for (int chain = 0; chain < kChains; ++chain) multiply<kDepth>(c[chain], a, b[chain]);
    }
  }
  for (int i = 0; i < 4 * kChains; ++i) {
    out[(int64_t{blockIdx.x} * 4 * kChains + i) * kThreads + threadIdx.x] = static_cast<uint32_t>(c[i / 4][i % 4]);
  }
  stop(start, watch);
}

#ifndef FASTHASH_EMULATION
// The same products by a warpgroup, a (64, 256) from registers and b (256, columns) from shared memory: an instruction
// of sm_90a. All words of b are one number. seeds (5, kThreads): a, then that number; out (blocks, columns / 2,
// kThreads).
#define FASTHASH_TEN(tens)                                                                                             \
  "%" tens "0, %" tens "1, %" tens "2, %" tens "3, %" tens "4, %" tens "5, %" tens "6, %" tens "7, %" tens "8, %" tens \
  "9, "
#define FASTHASH_FIFTY FASTHASH_TEN("") FASTHASH_TEN("1") FASTHASH_TEN("2") FASTHASH_TEN("3") FASTHASH_TEN("4")
#define FASTHASH_FOUR(i) "+r"(c[i]), "+r"(c[i + 1]), "+r"(c[i + 2]), "+r"(c[i + 3])
#define FASTHASH_SIXTEEN(i) FASTHASH_FOUR(i), FASTHASH_FOUR(i + 4), FASTHASH_FOUR(i + 8), FASTHASH_FOUR(i + 12)
#define FASTHASH_SIXTY_FOUR(i) \
  FASTHASH_SIXTEEN(i), FASTHASH_SIXTEEN(i + 16), FASTHASH_SIXTEEN(i + 32), FASTHASH_SIXTEEN(i + 48)
#define FASTHASH_SIDES "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(place)
#define FASTHASH_WGMMA(columns) "wgmma.mma_async.sync.aligned.m64n" columns "k256.s32.b1.b1.and.popc {"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
__device__ void multiply_group(int (&c)[32], const uint32_t (&a)[4], uint64_t place) {
  asm volatile(FASTHASH_WGMMA("64") FASTHASH_TEN("") FASTHASH_TEN("1")
                   FASTHASH_TEN("2") "%30, %31}, {%32, %33, %34, %35}, %36, 1;"
               : FASTHASH_SIXTEEN(0), FASTHASH_SIXTEEN(16)
               : FASTHASH_SIDES);
}

__device__ void multiply_group(int (&c)[64], const uint32_t (&a)[4], uint64_t place) {
  asm volatile(FASTHASH_WGMMA("128")
                   FASTHASH_FIFTY FASTHASH_TEN("5") "%60, %61, %62, %63}, {%64, %65, %66, %67}, %68, 1;"
               : FASTHASH_SIXTY_FOUR(0)
               : FASTHASH_SIDES);
}

__device__ void multiply_group(int (&c)[128], const uint32_t (&a)[4], uint64_t place) {
  asm volatile(FASTHASH_WGMMA("256") FASTHASH_FIFTY FASTHASH_TEN("5") FASTHASH_TEN("6") FASTHASH_TEN("7")
                   FASTHASH_TEN("8") FASTHASH_TEN("9") FASTHASH_TEN("10") FASTHASH_TEN(
                       "11") "%120, %121, %122, %123, %124, %125, %126, %127}, {%128, %129, %130, %131}, %132, 1;"
               : FASTHASH_SIXTY_FOUR(0), FASTHASH_SIXTY_FOUR(64)
               : FASTHASH_SIDES);
}
#endif

template <int kColumns>
__global__ void __launch_bounds__(kThreads)
    group_products(int64_t rounds, const uint32_t* seeds, uint32_t* out, Stopwatch* watch) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  constexpr int kWords = 8, kValues = kColumns / 2;
  __shared__ __align__(128) uint32_t b[kColumns * kWords];
  const Stopwatch start = now();
  for (int i = threadIdx.x; i < kColumns * kWords; i += kThreads) b[i] = seeds[4 * kThreads];
  __syncthreads();
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  // Address, and distances between cores of 8 x 16 bytes along the depth and along the columns, in units of 16 bytes.
  const uint64_t place = (__cvta_generic_to_shared(b) & 0x3ffff) >> 4 | uint64_t{8} << 16 | uint64_t{16} << 32;
  uint32_t a[4];
  for (int i = 0; i < 4; ++i) a[i] = seeds[i * kThreads + threadIdx.x];
  int c[kValues] = {};
#pragma unroll 1
  for (int64_t round = 0; round < rounds; ++round) {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int step = 0; step < kUnroll; ++step) multiply_group(c, a, place);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");  // one group stays under way
  }
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  for (int i = 0; i < kValues; ++i) {
    out[(int64_t{blockIdx.x} * kValues + i) * kThreads + threadIdx.x] = static_cast<uint32_t>(c[i]);
  }
  stop(start, watch);
#endif
}
#endif

// Counts in shared memory, a table for each block. seeds (kChains, kThreads): bins; out (blocks, kBins).
__global__ void __launch_bounds__(kThreads)
    histogram(int64_t rounds, const uint32_t* seeds, uint32_t* out, Stopwatch* watch) {
  FASTHASH_SHARED(uint32_t, table, kBins);
  const Stopwatch start = now();
  for (int bin = threadIdx.x; bin < kBins; bin += kThreads) table[bin] = 0;
  __syncthreads();
  uint32_t bins[kChains];
  for (int i = 0; i < kChains; ++i) bins[i] = seeds[i * kThreads + threadIdx.x];
#pragma unroll 1
  for (int64_t round = 0; round < rounds; ++round) {
#pragma unroll
    for (int step = 0; step < kUnroll; ++step) {
      for (int i = 0; i < kChains; ++i) atomicAdd(&table[bins[i]], 1u);
    }
  }
  __syncthreads();
  for (int bin = threadIdx.x; bin < kBins; bin += kThreads) out[int64_t{blockIdx.x} * kBins + bin] = table[bin];
  stop(start, watch);
}

struct alignas(16) Vector {
  uint32_t words[4];
};

// Adds up all words, which reads each of them once: four loads of 16 bytes a thread are under way at a time.
__global__ void __launch_bounds__(kThreads) read(int64_t vectors, const Vector* data, uint32_t* sum) {
  const int64_t stride = int64_t{gridDim.x} * kThreads;
  uint32_t total = 0;
  const auto add = [&](const Vector& v) { total += v.words[0] + v.words[1] + v.words[2] + v.words[3]; };
  int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  for (; at + 3 * stride < vectors; at += 4 * stride) {
    const Vector first = data[at], second = data[at + stride], third = data[at + 2 * stride];
    const Vector fourth = data[at + 3 * stride];
    add(first);
    add(second);
    add(third);
    add(fourth);
  }
  for (; at < vectors; at += stride) add(data[at]);
  total = __reduce_add_sync(fasthash::cuda::kWholeWarp, total);
  if (threadIdx.x % kLanes == 0) atomicAdd(sum, total);
}

__global__ void nothing() {}

// One thread a code, which meets query after query in global memory: what one writes first. out (rows, codes).
template <class Word>
__global__ void __launch_bounds__(kThreads)
    naive(const Word* queries, int64_t rows, const Word* database, int64_t codes, int words, int32_t* out) {
  const int64_t stride = int64_t{gridDim.x} * kThreads;
  for (int64_t code = int64_t{blockIdx.x} * kThreads + threadIdx.x; code < codes; code += stride) {
    for (int64_t row = 0; row < rows; ++row) {
      int distance = 0;
      for (int word = 0; word < words; ++word) {
        distance += __popc(static_cast<uint32_t>(queries[row * words + word] ^ database[code * words + word]));
      }
      out[row * codes + code] = distance;
    }
  }
}

std::string error;

template <class Body>
const char* guarded(const Body& body) {
  try {
    body();
    return nullptr;
  } catch (const std::exception& exception) {
    error = exception.what();
    return error.c_str();
  }
}

}  // namespace

// All return null or what went wrong, and wait for nothing.
extern "C" {

const char* run_loop(const char* name, int64_t rounds, int64_t blocks, const uint32_t* seeds, uint32_t* out,
                     void* watch, StreamHandle stream) {
  return guarded([&] {
    const auto go = [&](auto kernel) {
      launch("run_loop", kernel, blocks, kThreads, 0, stream, rounds, seeds, out, static_cast<Stopwatch*>(watch));
    };
    const std::string loop = name;
    if (loop == "popcount") return go(run<Popcount>);
    if (loop == "logic") return go(run<Logic>);
    if (loop == "add") return go(run<Add>);
    if (loop == "float add") return go(run<FloatAdd>);
    if (loop == "compare") return go(run<Compare>);
    if (loop == "max") return go(run<MaxOfTwo>);
    if (loop == "max of three") return go(run<MaxOfThree>);
    if (loop == "pair") return go(run<Pair>);
    if (loop == "histogram") return go(histogram);
    if (loop == "b1 k256") return go(products<256>);
    if (loop == "b1 k128") return go(products<128>);
#ifndef FASTHASH_EMULATION
    if (loop == "b1 wgmma n64") return go(group_products<64>);
    if (loop == "b1 wgmma n128") return go(group_products<128>);
    if (loop == "b1 wgmma n256") return go(group_products<256>);
#endif
    throw std::runtime_error("run_loop: name: no loop " + loop);
  });
}

const char* read_all(const void* data, int64_t vectors, int64_t blocks, uint32_t* sum, StreamHandle stream) {
  return guarded(
      [&] { launch("read_all", read, blocks, kThreads, 0, stream, vectors, static_cast<const Vector*>(data), sum); });
}

const char* launch_nothing(StreamHandle stream) {
  return guarded([&] { launch("launch_nothing", nothing, 1, 32, 0, stream); });
}

const char* naive_distance(const void* queries, int64_t rows, const void* database, int64_t codes, int64_t bytes,
                           int32_t* out, StreamHandle stream) {
  return guarded([&] {
    const auto go = [&](auto kernel, auto* a, auto* b) {
      const int words = static_cast<int>(bytes) / static_cast<int>(sizeof(*a));
      launch("naive_distance", kernel, ceil_div(codes, kThreads), kThreads, 0, stream, a, rows, b, codes, words, out);
    };
    if (bytes % 4 == 0) {
      return go(naive<uint32_t>, static_cast<const uint32_t*>(queries), static_cast<const uint32_t*>(database));
    }
    go(naive<uint8_t>, static_cast<const uint8_t*>(queries), static_cast<const uint8_t*>(database));
  });
}

}  // extern "C"

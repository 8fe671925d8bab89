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
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&y)[kChains]) {
    for (int i = 0; i < kChains; ++i) x[i] = static_cast<uint32_t>(__popc(x[i])) ^ y[i];
  }
};

struct Logic {  // not linear, so that no two of them are one function of three inputs
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&)[kChains]) {
    for (int i = 0; i < kChains; ++i) x[i] ^= x[(i + 1) % kChains] & x[(i + 2) % kChains];
  }
};

struct Add {
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&)[kChains]) {
    for (int i = 0; i < kChains; ++i) x[i] += x[(i + 1) % kChains];
  }
};

struct FloatAdd {
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&y)[kChains]) {
    for (int i = 0; i < kChains; ++i) {
      float sum, term;
      memcpy(&sum, &x[i], sizeof(sum));
      memcpy(&term, &y[i], sizeof(term));
      sum += term;
      memcpy(&x[i], &sum, sizeof(sum));
    }
  }
};

// Eight numbers against a threshold that moves: x[0] counts the steps in which one of y is below it.
struct Compare {
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&y)[kChains]) {
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
  static __device__ void step(uint32_t (&x)[kChains], uint32_t (&y)[kChains]) {
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
    for (int step = 0; step < kUnroll; ++step) Loop::step(x, y);
  }
  for (int i = 0; i < kChains; ++i) out[(int64_t{blockIdx.x} * kChains + i) * kThreads + threadIdx.x] = x[i];
  stop(start, watch);
}

// Binary matrix products of the tensor cores: c (16, 8) int32 += popcount of a (16, k) AND b (k, 8).
template <int kDepth>
__device__ void multiply(int (&c)[4], const uint32_t (&a)[kDepth / 64], const uint32_t (&b)[kDepth / 128]) {
  if constexpr (kDepth == 256) {
    fasthash::cuda::b1_mma_256(c, a[0], a[1], a[2], a[3], b[0], b[1]);
  } else {
    fasthash::cuda::b1_mma_128(c, a[0], a[1], b[0]);
  }
}

// Eight products a step, of one a with eight b. seeds (20, kThreads): a, then b; out (blocks, 4 * kChains, kThreads).
template <int kDepth>
__global__ void __launch_bounds__(kThreads)
    products(int64_t rounds, const uint32_t* seeds, uint32_t* out, Stopwatch* watch) {
  const Stopwatch start = now();
  uint32_t a[kDepth / 64], b[kChains][kDepth / 128];
  int c[kChains][4] = {};
  for (int i = 0; i < kDepth / 64; ++i) a[i] = seeds[i * kThreads + threadIdx.x];
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
    if (loop == "pair") return go(run<Pair>);
    if (loop == "histogram") return go(histogram);
    if (loop == "b1 k256") return go(products<256>);
    if (loop == "b1 k128") return go(products<128>);
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

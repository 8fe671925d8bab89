// SPDX-License-Identifier: Apache-2.0
// Timed loops for ceilings.py, which writes loops.h (straight runs of vector instructions) beside a copy of this file.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "loops.h"

namespace {

using Clock = std::chrono::steady_clock;
using Vector = uint64_t __attribute__((vector_size(64), aligned(8), may_alias));

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// body(thread) on all threads at once, the caller among them.
void on_threads(int threads, const std::function<void(int)>& body) {
  std::atomic<int> ready{0};
  const auto work = [&](int thread) {
    for (++ready; ready < threads;) std::this_thread::yield();
    body(thread);
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) others.emplace_back(work, thread);
  work(0);
  for (auto& other : others) other.join();
}

// A thread's share of `size` bytes, in whole cache lines.
struct Share {
  Share(int64_t size, int thread, int threads)
      : begin(size / 64 * thread / threads * 64), end(size / 64 * (thread + 1) / threads * 64) {}
  int64_t begin, end;
};

}  // namespace

extern "C" {

// Runs a loop on all threads for some time, in short windows; the sum over threads of rounds a second, each in its best
// window: a window cut short by another process does not count.
double rounds_per_second(int loop, int64_t rounds_of_window, double seconds, int threads) {
  std::vector<double> best(static_cast<size_t>(threads), 0);
  on_threads(threads, [&](int thread) {
    const auto start = Clock::now();
    do {
      const auto window = Clock::now();
      kLoops[loop](rounds_of_window);
      const double rate = static_cast<double>(rounds_of_window) / seconds_since(window);
      best[static_cast<size_t>(thread)] = std::max(best[static_cast<size_t>(thread)], rate);
    } while (seconds_since(start) < seconds);
  });
  double sum = 0;
  for (const double rate : best) sum += rate;
  return sum;
}

// Adds up whole cache lines; `ahead` bytes are prefetched (0 = leave it to the processor).
uint64_t read_bytes(const uint8_t* data, int64_t size, int64_t ahead, int threads) {
  std::atomic<uint64_t> total{0};
  on_threads(threads, [&](int thread) {
    const Share share(size, thread, threads);
    Vector sums[4] = {};
    int64_t at = share.begin;
    for (; at + 256 <= share.end; at += 256) {
      for (int i = 0; i < 4; ++i) {
        if (ahead != 0) {
          __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(data) +
                                                           static_cast<uintptr_t>(at + ahead + 64 * i)));
        }
        sums[i] += *reinterpret_cast<const Vector*>(data + at + 64 * i);
      }
    }
    for (; at < share.end; at += 64) sums[0] += *reinterpret_cast<const Vector*>(data + at);
    uint64_t sum = 0;
    for (const Vector& part : sums) {
      for (int lane = 0; lane < 8; ++lane) sum += part[lane];
    }
    total += sum;
  });
  return total;
}

// Writes whole cache lines; streaming stores go past the caches, where the processor has them. `data` is aligned to 64.
void fill_bytes(uint8_t* data, int64_t size, int streaming, int threads) {
  on_threads(threads, [&](int thread) {
    const Share share(size, thread, threads);
#if defined(__x86_64__)
    if (streaming != 0) {
      const __m128i value = _mm_set1_epi8(1);
      for (int64_t at = share.begin; at < share.end; at += 16) {
        _mm_stream_si128(reinterpret_cast<__m128i*>(data + at), value);
      }
      _mm_sfence();
      return;
    }
#endif
    const Vector value = Vector{} + 1;
    for (int64_t at = share.begin; at < share.end; at += 64) {
      *reinterpret_cast<Vector*>(data + at) = value;
      asm volatile("" ::: "memory");  // stays a loop of stores, not a call of memset
    }
  });
}

// The same into pages that the process has not touched yet, as a new large array is; seconds.
double fill_fresh(int64_t size, int huge_pages, int streaming, int threads) {
  constexpr int64_t kHuge = 1 << 21;
  const auto bytes = static_cast<size_t>(size + kHuge);
  const auto start = Clock::now();
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return -1;
  madvise(pages, bytes, huge_pages != 0 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  const auto aligned = (reinterpret_cast<uintptr_t>(pages) + kHuge - 1) / kHuge * kHuge;
  fill_bytes(reinterpret_cast<uint8_t*>(aligned), size, streaming, threads);
  munmap(pages, bytes);
  return seconds_since(start);
}

}  // extern "C"

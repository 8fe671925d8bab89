// SPDX-License-Identifier: Apache-2.0
// Large outputs.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace fasthash::cpu {

// Asks for large pages for an output that nothing has been written to yet: a write to a fresh small page takes the
// kernel longer than filling it takes us. NumPy does so for its own arrays, torch does not. A wish: nothing depends on
// it.
inline void expect_large(void* output, int64_t bytes) {
#if defined(MADV_HUGEPAGE)
  constexpr int64_t kLeast = 4 << 20;
  if (bytes < kLeast) return;
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(output) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(output) + static_cast<uintptr_t>(bytes)) / page * page;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)output;
  (void)bytes;
#endif
}

}  // namespace fasthash::cpu

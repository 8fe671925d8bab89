// SPDX-License-Identifier: Apache-2.0
// The b1 matrix instruction of sm_80 to sm_90: popcounts of ANDs, a whole warp at a time.
//
// With lane = 4 g + t, a lane brings rows g and g + 8 of A (16 queries), column g of B (8 codes) and holds rows g and
// g + 8, columns 2 t and 2 t + 1 of C. A sum over bits does not care about their order, so it does not matter which
// words of a code stand for t, as long as they are the same ones for A and B.
#pragma once

#include "common.cuh"

namespace fasthash::cuda {

#ifdef FASTHASH_EMULATION

using emulation::b1_mma_128;
using emulation::b1_mma_256;

#else

// Volatile, since a whole warp must meet here: the compiler may not move it into a branch.
// d[2 h + j] = c[2 h + j] + popc(row g + 8 h of A & column 2 t + j of B), over 256 bits: the lane's words are a[0],
// a[2] of row g, a[1], a[3] of row g + 8, and b[0], b[1].
__device__ inline void b1_mma_256(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const int (&c)[4]) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%10, %11, %12, %13};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
#endif
}

// The same over 128 bits: a[0] of row g, a[1] of row g + 8.
__device__ inline void b1_mma_128(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, const int (&c)[4]) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k128.row.col.s32.b1.b1.s32.and.popc {%0, %1, %2, %3}, {%4, %5}, {%6}, "
      "{%7, %8, %9, %10};"
      : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(b0), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
#endif
}

#endif

}  // namespace fasthash::cuda

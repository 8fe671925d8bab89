// SPDX-License-Identifier: Apache-2.0
// The number of ones of a ^ b or a & b, for a few words at a time.
//
// A popcount takes as long as four logic instructions, so for a ^ b words are added up first, bit position by bit
// position: a full adder makes of three words their sum and their carry, and two popcounts do for three words, four for
// eight. With s = x ^ y ^ z, the carry (majority) of x, y, z is s ^ (x ^ y | x ^ z). That is why both sides are
// prepared once: x, y, z become s, x ^ y, x ^ z, which takes no more room, and since XOR commutes with it, the adder
// meets a ^ b in four three-input logic instructions, where five would be needed: thirteen instead of sixteen for eight
// words, and those take as long as their four popcounts.
#pragma once

#include "common.cuh"

namespace fasthash::cuda {

// One logic instruction of three inputs: bit 4 * a + 2 * b + c of the table is the result for bits a, b, c. Written
// out, since left to itself the compiler forms other groups of three, and more of them.
template <unsigned kTable>
__device__ uint32_t logic3(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t result = 0;
#ifdef FASTHASH_EMULATION
  for (unsigned i = 0; i < 8; ++i) {
    if (kTable >> i & 1) result |= (i & 4 ? a : ~a) & (i & 2 ? b : ~b) & (i & 1 ? c : ~c);
  }
#else
  asm("lop3.b32 %0, %1, %2, %3, %4;" : "=r"(result) : "r"(a), "r"(b), "r"(c), "n"(kTable));
#endif
  return result;
}

__device__ inline uint32_t sum_of(uint32_t x, uint32_t y, uint32_t z) {
  return logic3<0x96>(x, y, z);
}
__device__ inline uint32_t carry_of(uint32_t x, uint32_t y, uint32_t z) {
  return logic3<0xE8>(x, y, z);
}

struct Xor {
  // x, y, z -> s, x ^ y, x ^ z
  __device__ static void prepare(uint32_t& x, uint32_t& y, uint32_t& z) {
    y ^= x;
    z ^= x;
    x ^= y ^ z;
  }

  template <int kWords>
  __device__ static void prepare(uint32_t (&x)[kWords]) {
    if constexpr (kWords >= 4) prepare(x[0], x[1], x[2]);
    if constexpr (kWords == 8) {
      prepare(x[3], x[4], x[5]);
      prepare(x[6], x[0], x[3]);  // the sums of both and x[6]
    }
  }

  // Where the second or the third word of a triple differs from its first one.
  __device__ static uint32_t differ(uint32_t a1, uint32_t b1, uint32_t a2, uint32_t b2) {
    return logic3<0xBE>(a1, b1, a2 ^ b2);
  }

  // `start` and the ones of a ^ b, both prepared.
  template <int kWords>
  __device__ static int count(const uint32_t (&a)[kWords], const uint32_t (&b)[kWords], int start) {
    static_assert(kWords == 1 || kWords == 2 || kWords == 4 || kWords == 8);
    if constexpr (kWords <= 2) {
      for (int i = 0; i < kWords; ++i) start += __popc(a[i] ^ b[i]);
      return start;
    } else if constexpr (kWords == 4) {
      const uint32_t sum = a[0] ^ b[0];
      const uint32_t carry = sum ^ differ(a[1], b[1], a[2], b[2]);
      return start + __popc(sum) + __popc(a[3] ^ b[3]) + 2 * __popc(carry);
    } else {
      const uint32_t sum = a[6] ^ b[6];            // of x[6] and both triples
      const uint32_t without_first = a[3] ^ b[3];  // of x[6] and the second triple
      const uint32_t without_second = a[0] ^ b[0];
      const uint32_t first = sum_of(sum, without_first, differ(a[1], b[1], a[2], b[2]));
      const uint32_t second = sum_of(sum, without_second, differ(a[4], b[4], a[5], b[5]));
      const uint32_t third = logic3<0x1E>(sum, without_first, without_second);
      const uint32_t twos = sum_of(first, second, third);
      const uint32_t fours = carry_of(first, second, third);
      return start + __popc(sum) + __popc(a[7] ^ b[7]) + 2 * __popc(twos) + 4 * __popc(fours);
    }
  }
};

struct And {
  template <int kWords>
  __device__ static void prepare(uint32_t (&)[kWords]) {}

  template <int kWords>
  __device__ static int count(const uint32_t (&a)[kWords], const uint32_t (&b)[kWords], int start) {
    for (int i = 0; i < kWords; ++i) start += __popc(a[i] & b[i]);
    return start;
  }
};

}  // namespace fasthash::cuda

// The number of ones of a ^ b or a & b, for a few words at a time.
//
// A popcount takes as long as four logic instructions, so for a ^ b words are added up first, bit position by bit
// position: a full adder makes of three words their sum and their carry, and two popcounts do for three words, four for
// eight. With s = x ^ y ^ z, the carry (majority) of x, y, z is s ^ (x ^ y | x ^ z). That is why both sides are
// prepared once: x, y, z become s, x ^ y, x ^ z, which takes no more room, and since XOR commutes with it, the adder
// meets a ^ b in four three-input logic instructions, where seven would be needed.
#pragma once

#include "common.cuh"

namespace fasthash::cuda {

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

  // `start` and the ones of a ^ b, both prepared.
  template <int kWords>
  __device__ static int count(const uint32_t (&a)[kWords], const uint32_t (&b)[kWords], int start) {
    static_assert(kWords == 1 || kWords == 2 || kWords == 4 || kWords == 8);
    if constexpr (kWords <= 2) {
      for (int i = 0; i < kWords; ++i) start += __popc(a[i] ^ b[i]);
      return start;
    } else if constexpr (kWords == 4) {
      const uint32_t sum = a[0] ^ b[0];
      const uint32_t carry = sum ^ ((a[1] ^ b[1]) | (a[2] ^ b[2]));
      return start + __popc(sum) + __popc(a[3] ^ b[3]) + 2 * __popc(carry);
    } else {
      const uint32_t sum = a[6] ^ b[6];
      const uint32_t without_first = a[0] ^ b[0];  // the second triple's sum, added to `sum`: the first's and x[6]
      const uint32_t without_second = a[3] ^ b[3];
      const uint32_t first = sum ^ without_second ^ ((a[1] ^ b[1]) | (a[2] ^ b[2]));
      const uint32_t second = sum ^ without_first ^ ((a[4] ^ b[4]) | (a[5] ^ b[5]));
      const uint32_t third = sum ^ (without_first | without_second);
      const uint32_t twos = first ^ second ^ third;
      const uint32_t fours = (first & second) | (first & third) | (second & third);
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

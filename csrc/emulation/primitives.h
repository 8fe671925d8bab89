// SPDX-License-Identifier: Apache-2.0
// The primitives of cuda_primitives.h one by one, for tests against plain formulas. See primitives.cu.
#pragma once

#include <cstdint>
#include <vector>

namespace fasthash::emulation {

// What each of 64 threads gets for its operands. A 32-bit primitive takes their low halves.
using Primitive = uint64_t (*)(uint64_t a, uint64_t b, uint64_t c);
struct NamedPrimitive {
  const char* name;
  Primitive function;
};
const std::vector<NamedPrimitive>& named_primitives();

// out[i] = function(a[i], b[i], c[i]) for thread i of 64.
void run_primitive(const NamedPrimitive& primitive, const uint64_t* a, const uint64_t* b, const uint64_t* c,
                   uint64_t* out);

// The matrix instruction of 256 or 128 bits on fragments as lanes hold them: a (32, bits / 64) and b (32, bits / 128)
// words, c and d (32, 4). With `wrong_lane`, lanes 0 and 1 bring each other's words.
void run_b1_mma(int bits, const uint32_t* a, const uint32_t* b, const int32_t* c, int32_t* d, bool wrong_lane);

}  // namespace fasthash::emulation

// SPDX-License-Identifier: Apache-2.0
// The b1 matrix instruction as a function of a whole warp, by the fragment layout that PTX documents.
#pragma once

#include "cuda_primitives.h"

namespace fasthash::emulation {

// A fragment register holds 32 consecutive bits of a row of A or a column of B: register r of lane 4 g + t those from
// 32 t (r = 0, 1 for A; 0 for B) or 128 + 32 t on (r = 2, 3; 1), of row g (r even) or g + 8 (r odd), or column g.
template <int kRegistersA, int kRegistersB>
void b1_mma(const char* primitive, int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[kRegistersB],
            const int (&c)[4], Where where) {
  const uint32_t* registers[] = {a, b};
  const Lanes& lanes = meet(primitive, 0xffffffffu, reinterpret_cast<uintptr_t>(registers), where);
  const auto word_of = [&lanes](int side, int lane, int i) {
    return reinterpret_cast<const uint32_t* const*>(lanes[lane])[side][i];
  };
  const int group = lane_id() / 4, member = lane_id() % 4;
  int counts[4] = {};
  for (int i = 0; i < 4; ++i) {
    const int row_half = i / 2, column = 2 * member + i % 2;
    for (int word = 0; word < 2 * kRegistersA; ++word) {
      counts[i] += std::popcount(word_of(0, 4 * group + word % 4, 2 * (word / 4) + row_half) &
                                 word_of(1, 4 * column + word % 4, word / 4));
    }
  }
  meet(primitive, 0xffffffffu, 0, where);  // all have read this lane's registers
  for (int i = 0; i < 4; ++i) d[i] = c[i] + counts[i];
}

inline void b1_mma_256(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const int (&c)[4],
                       Where where = Where::current()) {
  b1_mma<4>("b1_mma_256", d, a, {b0, b1}, c, where);
}
inline void b1_mma_128(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, const int (&c)[4],
                       Where where = Where::current()) {
  b1_mma<2>("b1_mma_128", d, a, {b0}, c, where);
}

}  // namespace fasthash::emulation

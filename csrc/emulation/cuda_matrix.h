// The b1 matrix instruction as a function of a whole warp, by the fragment layout that PTX documents.
#pragma once

#include "cuda_primitives.h"

namespace fasthash::emulation {

// A fragment register holds 32 consecutive bits of a row of A or a column of B: register r of lane 4 g + t those from
// 32 t (r = 0, 1 for A; 0 for B) or 128 + 32 t on (r = 2, 3; 1), of row g (r even) or g + 8 (r odd), or column g.
template <int kRegistersA, int kRegistersB>
void b1_mma(const char* primitive, int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[kRegistersB],
            const int (&c)[4], Where where) {
  Lanes as[kRegistersA], bs[kRegistersB];
  for (int i = 0; i < kRegistersA; ++i) as[i] = meet(primitive, 0xffffffffu, a[i], where);
  for (int i = 0; i < kRegistersB; ++i) bs[i] = meet(primitive, 0xffffffffu, b[i], where);
  const int group = lane_id() / 4, member = lane_id() % 4;
  for (int i = 0; i < 4; ++i) {
    const int row_half = i / 2, column = 2 * member + i % 2;
    int count = 0;
    for (int word = 0; word < 4 * kRegistersB; ++word) {
      const uint64_t row_bits = as[2 * (word / 4) + row_half][4 * group + word % 4];
      const uint64_t column_bits = bs[word / 4][4 * column + word % 4];
      count += std::popcount(row_bits & column_bits);
    }
    d[i] = c[i] + count;
  }
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

// SPDX-License-Identifier: Apache-2.0
// Full matrices of bit counts, for those who ask for one by name.
#pragma once

#include "fasthash/types.h"

namespace fasthash {

namespace cpu {
// out (a.rows, b.rows): popcount(a ^ b), in bits.
void hamming_distance(Codes a, Codes b, int32_t* out, int threads);
// out (a.rows, b.rows): popcount(a & b), the shared labels of packed label sets.
void label_overlap(Codes a, Codes b, int32_t* out, int threads);
}  // namespace cpu

namespace cuda {
void hamming_distance(Codes a, Codes b, int32_t* out, StreamHandle stream);
void label_overlap(Codes a, Codes b, int32_t* out, StreamHandle stream);
}  // namespace cuda

}  // namespace fasthash

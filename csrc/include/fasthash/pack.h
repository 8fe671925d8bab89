// SPDX-License-Identifier: Apache-2.0
// Signs to packed codes and back.
#pragma once

#include "fasthash/types.h"

namespace fasthash {

// How to see `x > 0` in the raw bits of an element: read as an unsigned integer of `width` bytes, x > 0 exactly when
// value - 1 < limit, wrapping around at 0. The limit cuts off negative values and the NaNs of a float type.
struct Element {
  int width;      // 1, 2, 4 or 8 bytes
  int64_t limit;  // bool 0xFF, integers their maximum, float16 0x7C00, bfloat16 0x7F80, float32 0x7F800000, float64
                  // 0x7FF0...0
};

namespace cpu {
// x: rows of `bits` contiguous elements, `row_stride` bytes apart -> codes (rows, ceil(bits / 8)).
void pack(const void* x, Element element, int64_t rows, int64_t bits, int64_t row_stride, uint8_t* codes, int threads);
// codes (rows, ceil(bits / 8)) -> out (rows, bits) of -1 and +1.
void unpack(const uint8_t* codes, int64_t rows, int64_t bits, float* out, int threads);
}  // namespace cpu

namespace cuda {
void pack(const void* x, Element element, int64_t rows, int64_t bits, int64_t row_stride, uint8_t* codes,
          StreamHandle stream);
void unpack(const uint8_t* codes, int64_t rows, int64_t bits, float* out, StreamHandle stream);
}  // namespace cuda

}  // namespace fasthash

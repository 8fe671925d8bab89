// SPDX-License-Identifier: Apache-2.0
// Rows of bytes of any width and alignment, read as words.
#pragma once

#include "common.cuh"

namespace fasthash::cuda {

// `unit`: the widest load that every row start allows, 16, 8, 4 or 1 bytes.
struct Rows {
  const uint8_t* data;
  int64_t rows;
  int64_t bytes;
  int unit;
};

inline Rows rows_of(const uint8_t* data, int64_t rows, int64_t bytes) {
  const uint64_t bits = reinterpret_cast<uintptr_t>(data) | static_cast<uint64_t>(bytes);
  return {data, rows, bytes, bits % 16 == 0 ? 16 : bits % 8 == 0 ? 8 : bits % 4 == 0 ? 4 : 1};
}

// What one load brings.
template <int kWords>
struct alignas(4 * kWords) Words {
  uint32_t word[kWords];
};

// 32-bit words from `source` on, zero past the `left` bytes of the row that are left there, by loads of kUnit bytes.
template <int kUnit, int kWords>
__device__ void load_words(const uint8_t* source, int left, uint32_t (&words)[kWords]) {
  if constexpr (kUnit == 1) {
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      words[i] = 0;
#pragma unroll
      for (int b = 0; b < 4; ++b) {
        if (4 * i + b < left) words[i] |= uint32_t{source[4 * i + b]} << (8 * b);
      }
    }
  } else {
    constexpr int kAtOnce = kUnit / 4;
#pragma unroll
    for (int i = 0; i < kWords; i += kAtOnce) {
      Words<kAtOnce> loaded{};
      if (4 * i < left) loaded = *reinterpret_cast<const Words<kAtOnce>*>(source + 4 * i);
#pragma unroll
      for (int w = 0; w < kAtOnce; ++w) words[i + w] = loaded.word[w];
    }
  }
}

__device__ inline int64_t words_of(const Rows& codes) {
  return (codes.bytes + 7) / 8;
}

// Bytes 8 * i .. 8 * i + 7 of a row, zero past its end.
__device__ inline uint64_t load_word(const Rows& codes, int64_t row, int64_t i) {
  const uint8_t* source = codes.data + row * codes.bytes + 8 * i;
  const int left = static_cast<int>(codes.bytes - 8 * i);
  uint32_t halves[2];
  if (codes.unit >= 8) {
    load_words<8>(source, left, halves);
  } else if (codes.unit == 4) {
    load_words<4>(source, left, halves);
  } else {
    load_words<1>(source, left, halves);
  }
  return halves[0] | uint64_t{halves[1]} << 32;
}

}  // namespace fasthash::cuda

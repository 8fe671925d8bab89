// SPDX-License-Identifier: Apache-2.0
#include "fasthash/pack.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "dispatch.h"
#include "memory.h"
#include "threads.h"

namespace fasthash::cpu {
namespace {

constexpr int64_t kElementsATask = 1 << 18;
constexpr int64_t kWords = 64;          // of signs at a time
constexpr int64_t kMostToSpread = 512;  // bits of rows that are packed as one run and spread to bytes of their own

// Vector compares give element 0 as the lowest bit; the format wants it highest in its byte.
uint64_t reverse_bits_in_bytes(uint64_t x) {
  x = (x >> 1 & 0x5555555555555555u) | (x & 0x5555555555555555u) << 1;
  x = (x >> 2 & 0x3333333333333333u) | (x & 0x3333333333333333u) << 2;
  return (x >> 4 & 0x0F0F0F0F0F0F0F0Fu) | (x & 0x0F0F0F0F0F0F0F0Fu) << 4;
}

void store(uint64_t word, int64_t bytes, uint8_t* out) {
  if (bytes == 8) {
    std::memcpy(out, &word, 8);
  } else {
    for (int64_t i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(word >> 8 * i);
  }
}

class Packer {
 public:
  // The elements may be read up to `end`.
  Packer(const Level& level, Element element, const uint8_t* end) : level_(level), element_(element), end_(end) {}

  // Contiguous elements to contiguous bits; spare bits of the last byte are zero.
  void run(const uint8_t* from, int64_t elements, uint8_t* out) const {
    uint64_t words[kWords];
    while (elements > 0) {
      const int64_t count = std::min(kWords, (elements + 63) / 64);
      signs(from, elements, count, words);
      const int64_t whole = std::min(count, elements / 64);
      for (int64_t w = 0; w < whole; ++w) store(reverse_bits_in_bytes(words[w]), 8, out + 8 * w);
      if (whole < count) {
        const int64_t rest = elements % 64;
        store(reverse_bits_in_bytes(words[whole] & ~(~uint64_t{0} << rest)), (rest + 7) / 8, out + 8 * whole);
      }
      from += count * 64 * element_.width;
      out += count * 8;
      elements -= count * 64;
    }
  }

  // Contiguous rows whose bits do not fill their bytes.
  void spread(const uint8_t* from, int64_t rows, int64_t bits, uint8_t* out) const {
    uint8_t stream[kWords * 8 + 16] = {};
    const int64_t bytes = (bits + 7) / 8, step = kWords * 64 / bits;
    const uint8_t* const out_end = out + rows * bytes;
    for (int64_t first = 0; first < rows; first += step) {
      const int64_t count = std::min(step, rows - first);
      run(from + first * bits * element_.width, count * bits, stream);
      for (int64_t i = 0; i < count; ++i, out += bytes) {
        for (int64_t b = 0; b < bits; b += 64) {
          const uint8_t* at = stream + (i * bits + b) / 8;
          const int64_t shift = (i * bits + b) % 8, wanted = std::min<int64_t>(64, bits - b);
          uint64_t word;
          std::memcpy(&word, at, 8);
          word = __builtin_bswap64(word) << shift | at[8] >> (8 - shift);
          word = __builtin_bswap64(word & ~uint64_t{0} << (64 - wanted));
          // Zeros behind a row are overwritten by the next one.
          store(word, std::min<int64_t>(8, out_end - out - b / 8), out + b / 8);
        }
      }
    }
  }

 private:
  void signs(const uint8_t* from, int64_t elements, int64_t count, uint64_t* words) const {
    const bool fits = elements >= count * 64 || end_ - from >= count * 64 * element_.width;
    const int64_t direct = fits ? count : count - 1;
    level_.sign_words(from, element_.width, element_.limit, direct, words);
    if (fits) return;
    uint8_t tail[64 * 8] = {};
    std::memcpy(tail, from + direct * 64 * element_.width,
                static_cast<size_t>((elements - direct * 64) * element_.width));
    level_.sign_words(tail, element_.width, element_.limit, 1, words + direct);
  }

  const Level& level_;
  Element element_;
  const uint8_t* end_;
};

}  // namespace

void pack(const void* x, Element element, int64_t rows, int64_t bits, int64_t row_stride, uint8_t* codes, int threads) {
  if (rows == 0) return;
  const auto* base = static_cast<const uint8_t*>(x);
  const int64_t bytes = (bits + 7) / 8;
  const int64_t step = std::max<int64_t>(1, kElementsATask / bits);
  const Packer packer(level(), element, base + (rows - 1) * row_stride + bits * element.width);
  const bool contiguous = row_stride == bits * element.width;
  parallel_for((rows + step - 1) / step, threads, [&](int64_t task) {
    const int64_t first = task * step, count = std::min(step, rows - first);
    const uint8_t* from = base + first * row_stride;
    uint8_t* out = codes + first * bytes;
    if (contiguous && bits % 8 == 0) {
      packer.run(from, count * bits, out);
    } else if (contiguous && bits <= kMostToSpread) {
      packer.spread(from, count, bits, out);
    } else {
      for (int64_t i = 0; i < count; ++i) packer.run(from + i * row_stride, bits, out + i * bytes);
    }
  });
}

void unpack(const uint8_t* codes, int64_t rows, int64_t bits, float* out, int threads) {
  const Level& chosen = level();
  const int64_t bytes = (bits + 7) / 8;
  const int64_t step = std::max<int64_t>(1, kElementsATask / std::max<int64_t>(bits, 1));
  expect_large(out, rows * bits * 4);
  parallel_for((rows + step - 1) / step, threads, [&](int64_t task) {
    for (int64_t i = task * step; i < std::min(rows, (task + 1) * step); ++i) {
      const int64_t whole = bits / 8;
      chosen.unpack_bytes(codes + i * bytes, whole, out + i * bits);
      if (bits % 8 != 0) {
        float last[8];
        chosen.unpack_bytes(codes + i * bytes + whole, 1, last);
        std::copy_n(last, bits % 8, out + i * bits + whole * 8);
      }
    }
  });
}

}  // namespace fasthash::cpu

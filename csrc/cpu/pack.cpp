#include "fasthash/pack.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "dispatch.h"
#include "threads.h"

namespace fasthash::cpu {
namespace {

constexpr int64_t kElementsATask = 1 << 18;

// Vector compares give element 0 as the lowest bit; the format wants it highest in its byte.
uint64_t reverse_bits_in_bytes(uint64_t x) {
  x = (x >> 1 & 0x5555555555555555u) | (x & 0x5555555555555555u) << 1;
  x = (x >> 2 & 0x3333333333333333u) | (x & 0x3333333333333333u) << 2;
  return (x >> 4 & 0x0F0F0F0F0F0F0F0Fu) | (x & 0x0F0F0F0F0F0F0F0Fu) << 4;
}

void store_bytes(uint64_t word, int64_t bytes, uint8_t* out) {
  for (int64_t i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(word >> 8 * i);
}

void pack_row(const Level& level, const uint8_t* row, Element element, int64_t bits, uint8_t* codes) {
  constexpr int64_t kWords = 64;
  uint64_t words[kWords];
  const int64_t whole = bits / 64;
  for (int64_t first = 0; first < whole; first += kWords) {
    const int64_t count = std::min(kWords, whole - first);
    level.sign_words(row + first * 64 * element.width, element.width, element.limit, count, words);
    for (int64_t w = 0; w < count; ++w) store_bytes(reverse_bits_in_bytes(words[w]), 8, codes + (first + w) * 8);
  }
  if (const int64_t rest = bits % 64; rest != 0) {
    uint8_t tail[64 * 8] = {};
    std::copy_n(row + whole * 64 * element.width, rest * element.width, tail);
    level.sign_words(tail, element.width, element.limit, 1, words);
    store_bytes(reverse_bits_in_bytes(words[0]), (rest + 7) / 8, codes + whole * 8);
  }
}

}  // namespace

void pack(const void* x, Element element, int64_t rows, int64_t bits, int64_t row_stride, uint8_t* codes, int threads) {
  const Level& chosen = level();
  const int64_t bytes = (bits + 7) / 8;
  const int64_t step = std::max<int64_t>(1, kElementsATask / std::max<int64_t>(bits, 1));
  parallel_for((rows + step - 1) / step, threads, [&](int64_t task) {
    const auto* base = static_cast<const uint8_t*>(x);
    for (int64_t i = task * step; i < std::min(rows, (task + 1) * step); ++i) {
      pack_row(chosen, base + i * row_stride, element, bits, codes + i * bytes);
    }
  });
}

void unpack(const uint8_t* codes, int64_t rows, int64_t bits, float* out, int threads) {
  const Level& chosen = level();
  const int64_t bytes = (bits + 7) / 8;
  const int64_t step = std::max<int64_t>(1, kElementsATask / std::max<int64_t>(bits, 1));
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

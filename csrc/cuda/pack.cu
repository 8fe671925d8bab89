// SPDX-License-Identifier: Apache-2.0
// Signs to packed codes and back: as fast as the wider side is read or written.
#include "fasthash/pack.h"

#include "rows.cuh"

namespace fasthash::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kAtOnce = 8;  // words of a warp, so that enough loads are under way

template <class Int>
__device__ bool is_positive(Int value, Int limit) {
  return static_cast<Int>(value - 1) < limit;
}

// Element i of what was loaded.
template <class Int, int kWords>
__device__ Int element(const uint32_t (&words)[kWords], int i) {
  if constexpr (sizeof(Int) == 8) {
    return words[2 * i] | uint64_t{words[2 * i + 1]} << 32;
  } else {
    constexpr int kInWord = 4 / sizeof(Int);
    return static_cast<Int>(words[i / kInWord] >> (8 * sizeof(Int) * (i % kInWord)));
  }
}

// Rows that begin at multiples of 16 bytes: a thread makes the code bytes of 32 bytes of a row, or one of 64.
template <class Int>
__global__ void __launch_bounds__(kThreads)
    pack_kernel(const uint8_t* x, Int limit, int64_t rows, int64_t bits, int64_t row_stride, uint8_t* codes) {
  constexpr int kBytes = sizeof(Int) < 4 ? 4 / sizeof(Int) : 1;
  constexpr int kElements = 8 * kBytes;
  const int64_t bytes = (bits + 7) / 8;
  const int64_t groups = (bytes + kBytes - 1) / kBytes;
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t job = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; job < rows * groups; job += step) {
    const int64_t row = job / groups;
    const int64_t first = job % groups * kElements;
    const Int* source = reinterpret_cast<const Int*>(x + row * row_stride) + first;
    const int left = static_cast<int>(min(bits - first, int64_t{kElements}));
    uint32_t words[kElements * sizeof(Int) / 4] = {};
    if (left == kElements) {
      load_words<16>(reinterpret_cast<const uint8_t*>(source), left * sizeof(Int), words);
    }
    uint8_t* out = codes + row * bytes + first / 8;
#pragma unroll
    for (int b = 0; b < kBytes; ++b) {
      unsigned byte = 0;
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int at = 8 * b + i;
        const Int value = left == kElements ? element<Int>(words, at) : at < left ? source[at] : Int{0};
        byte |= static_cast<unsigned>(is_positive(value, limit)) << (7 - i);
      }
      if (8 * b < left) out[b] = static_cast<uint8_t>(byte);
    }
  }
}

// The 32-bit words of all rows, one after the other.
struct WordCursor {
  int64_t words;  // of a row
  int64_t row;
  int64_t word;

  __device__ WordCursor(int64_t index, int64_t words) : words(words), row(index / words), word(index % words) {}
  __device__ void next() {
    if (++word == words) {
      word = 0;
      ++row;
    }
  }
};

// Rows that begin anywhere: a lane reads an element, so that loads of a warp are whole lines; a vote makes a word
// of 32.
template <class Int>
__global__ void __launch_bounds__(kThreads)
    pack_by_vote_kernel(const uint8_t* x, Int limit, int64_t rows, int64_t bits, int64_t row_stride, uint8_t* codes) {
  const int lane = lane_index();
  const int64_t words = (bits + kLanes - 1) / kLanes;
  const int64_t bytes = (bits + 7) / 8;
  for (int64_t first = kAtOnce * grid_warp(); first < rows * words; first += kAtOnce * grid_warps()) {
    Int values[kAtOnce];
    WordCursor cursor(first, words);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i, cursor.next()) {
      const int64_t bit = cursor.word * kLanes + lane;
      const bool exists = cursor.row < rows && bit < bits;
      values[i] = exists ? reinterpret_cast<const Int*>(x + cursor.row * row_stride)[bit] : Int{0};
    }
    // The vote has lane 0 lowest; codes have the first bit highest, in bytes. Each lane stores a byte.
    uint32_t own = 0;
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const uint32_t packed = __brev(__ballot_sync(kWholeWarp, is_positive(values[i], limit)));
      if (lane / 4 == i) own = packed;
    }
    const WordCursor mine(first + lane / 4, words);
    const int64_t byte = mine.word * 4 + lane % 4;
    if (mine.row < rows && byte < bytes) {
      codes[mine.row * bytes + byte] = static_cast<uint8_t>(own >> (24 - 8 * (lane % 4)));
    }
  }
}

// -1 for a bit of 0, +1 for a bit of 1.
__device__ inline float sign_of(unsigned bit) {
  return __uint_as_float(0xBF800000u ^ bit << 31);
}

// Rows of a multiple of four bits, 16 bytes of floats: a thread writes four.
__global__ void __launch_bounds__(kThreads)
    unpack_kernel(const uint8_t* codes, int64_t rows, int64_t bits, float* out) {
  struct alignas(16) Floats {
    float value[4];
  };
  const int64_t bytes = (bits + 7) / 8;
  const int64_t nibbles = bits / 4;
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t job = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; job < rows * nibbles; job += step) {
    const int64_t nibble = job % nibbles;
    const unsigned byte = codes[job / nibbles * bytes + nibble / 2];
    Floats floats;
#pragma unroll
    for (int i = 0; i < 4; ++i) floats.value[i] = sign_of(byte >> (nibble % 2 == 0 ? 7 - i : 3 - i) & 1);
    reinterpret_cast<Floats*>(out)[job] = floats;
  }
}

// Rows of any length: a lane writes one float of a word.
__global__ void __launch_bounds__(kThreads)
    unpack_words_kernel(const uint8_t* codes, int64_t rows, int64_t bits, float* out) {
  const int64_t words = (bits + kLanes - 1) / kLanes;
  const int64_t bytes = (bits + 7) / 8;
  for (int64_t first = kAtOnce * grid_warp(); first < rows * words; first += kAtOnce * grid_warps()) {
    WordCursor cursor(first, words);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i, cursor.next()) {
      const int64_t bit = cursor.word * kLanes + lane_index();
      if (cursor.row >= rows || bit >= bits) continue;
      const unsigned byte = codes[cursor.row * bytes + bit / 8];
      out[cursor.row * bits + bit] = sign_of(byte >> (7 - bit % 8) & 1);
    }
  }
}

constexpr int64_t kWordsABlock = kThreads / kLanes * kAtOnce;

template <class Int>
void pack_as(const void* x, int64_t limit, int64_t rows, int64_t bits, int64_t row_stride, uint8_t* codes,
             StreamHandle stream) {
  constexpr int64_t kBytes = sizeof(Int) < 4 ? 4 / sizeof(Int) : 1;
  const bool aligned = (reinterpret_cast<uintptr_t>(x) | static_cast<uint64_t>(row_stride)) % 16 == 0;
  const int64_t blocks = aligned ? ceil_div(rows * ceil_div(bits, 8 * kBytes), kThreads)
                                 : ceil_div(rows * ceil_div(bits, kLanes), kWordsABlock);
  launch("pack", aligned ? pack_kernel<Int> : pack_by_vote_kernel<Int>, blocks, kThreads, 0, stream,
         static_cast<const uint8_t*>(x), static_cast<Int>(limit), rows, bits, row_stride, codes);
}

}  // namespace

void pack(const void* x, Element element, int64_t rows, int64_t bits, int64_t row_stride, uint8_t* codes,
          StreamHandle stream) {
  switch (element.width) {
    case 1:
      return pack_as<uint8_t>(x, element.limit, rows, bits, row_stride, codes, stream);
    case 2:
      return pack_as<uint16_t>(x, element.limit, rows, bits, row_stride, codes, stream);
    case 4:
      return pack_as<uint32_t>(x, element.limit, rows, bits, row_stride, codes, stream);
    case 8:
      return pack_as<uint64_t>(x, element.limit, rows, bits, row_stride, codes, stream);
    default:
      throw std::invalid_argument("pack: expected elements of 1, 2, 4 or 8 bytes, got " +
                                  std::to_string(element.width));
  }
}

void unpack(const uint8_t* codes, int64_t rows, int64_t bits, float* out, StreamHandle stream) {
  if (bits % 4 == 0 && reinterpret_cast<uintptr_t>(out) % 16 == 0) {
    launch("unpack", unpack_kernel, ceil_div(rows * (bits / 4), kThreads), kThreads, 0, stream, codes, rows, bits, out);
  } else {
    launch("unpack", unpack_words_kernel, ceil_div(rows * ceil_div(bits, kLanes), kWordsABlock), kThreads, 0, stream,
           codes, rows, bits, out);
  }
}

}  // namespace fasthash::cuda

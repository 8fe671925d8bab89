// Signs to packed codes and back. A warp takes 32 bits of a row: a vote makes them one word.
#include "fasthash/pack.h"

#include "common.cuh"

namespace fasthash::cuda {
namespace {

constexpr int kThreads = 256;

inline int64_t blocks_for_warps(int64_t warps) {
  return ceil_div(warps, kThreads / kLanes);
}

template <class Int>
__global__ void __launch_bounds__(kThreads)
    pack_kernel(const uint8_t* x, Int limit, int64_t rows, int64_t bits, int64_t row_stride, uint8_t* codes) {
  const int lane = lane_index();
  const int64_t words = (bits + kLanes - 1) / kLanes;
  const int64_t bytes = (bits + 7) / 8;
  for (int64_t job = grid_warp(); job < rows * words; job += grid_warps()) {
    const int64_t row = job / words;
    const int64_t word = job % words;
    const int64_t bit = word * kLanes + lane;
    bool positive = false;
    if (bit < bits) {
      const Int value = reinterpret_cast<const Int*>(x + row * row_stride)[bit];
      positive = static_cast<Int>(value - 1) < limit;
    }
    // The vote has lane 0 lowest; codes have the first bit highest, in bytes.
    const uint32_t packed = __brev(__ballot_sync(kWholeWarp, positive));
    const int64_t byte = word * 4 + lane;
    if (lane < 4 && byte < bytes) codes[row * bytes + byte] = static_cast<uint8_t>(packed >> (24 - 8 * lane));
  }
}

__global__ void __launch_bounds__(kThreads)
    unpack_kernel(const uint8_t* codes, int64_t rows, int64_t bits, float* out) {
  const int64_t words = (bits + kLanes - 1) / kLanes;
  const int64_t bytes = (bits + 7) / 8;
  for (int64_t job = grid_warp(); job < rows * words; job += grid_warps()) {
    const int64_t row = job / words;
    const int64_t bit = job % words * kLanes + lane_index();
    if (bit < bits) {
      const int byte = codes[row * bytes + bit / 8];
      out[row * bits + bit] = (byte >> (7 - bit % 8)) & 1 ? 1.0f : -1.0f;
    }
  }
}

template <class Int>
void pack_as(const void* x, int64_t limit, int64_t rows, int64_t bits, int64_t row_stride, uint8_t* codes,
             StreamHandle stream) {
  launch("pack", pack_kernel<Int>, blocks_for_warps(rows * ceil_div(bits, kLanes)), kThreads, 0, stream,
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
  launch("unpack", unpack_kernel, blocks_for_warps(rows * ceil_div(bits, kLanes)), kThreads, 0, stream, codes, rows,
         bits, out);
}

}  // namespace fasthash::cuda

// SPDX-License-Identifier: Apache-2.0
// NEON: popcount of bytes; sums stay in bytes for up to 31 words.
#include <arm_neon.h>

#include "matrix_kernel.h"
#include "scan_kernel.h"
#include "score_kernel.h"

namespace fasthash::cpu {
namespace {

// Two registers, so that a query's word, a test and a look at the result serve twice as many codes.
struct Pair {
  uint64x2_t low, high;
};

struct NeonNarrow;

struct Neon {
  using Narrow = NeonNarrow;
  using Type = Pair;
  using Word = uint64_t;
  using Lane = int64_t;
  static constexpr int kWide = 4;
  static constexpr bool kExact = false;
  static constexpr int queries_at_once(int) { return 4; }

  static Type zero() { return broadcast(0); }
  static Type load(const uint64_t* p) { return {load_16(p), load_16(p + 2)}; }
  static Type broadcast(uint64_t x) { return {vdupq_n_u64(x), vdupq_n_u64(x)}; }
  static Type bit_xor(Type a, Type b) { return {veorq_u64(a.low, b.low), veorq_u64(a.high, b.high)}; }
  static Type bit_and(Type a, Type b) { return {vandq_u64(a.low, b.low), vandq_u64(a.high, b.high)}; }
  static Type bit_or(Type a, Type b) { return {vorrq_u64(a.low, b.low), vorrq_u64(a.high, b.high)}; }
  static Type add(Type a, Type b) { return {vaddq_u64(a.low, b.low), vaddq_u64(a.high, b.high)}; }
  static Type shift_left(Type x, int bits) {
    const int64x2_t by = vdupq_n_s64(bits);  // vshlq shifts to the right where that is negative
    return {vshlq_u64(x.low, by), vshlq_u64(x.high, by)};
  }
  static Type majority(Type a, Type b, Type c) {
    const Type differ = bit_xor(a, b);
    return {vbslq_u64(differ.low, c.low, a.low), vbslq_u64(differ.high, c.high, a.high)};
  }
  static Type bit_xor3(Type a, Type b, Type c) { return bit_xor(bit_xor(a, b), c); }
  static bool any(Type x) { return vmaxvq_u32(vreinterpretq_u32_u64(vorrq_u64(x.low, x.high))) != 0; }
  static Type partial(Type x) { return {words(vcntq_u8(bytes(x.low))), words(vcntq_u8(bytes(x.high)))}; }
  static Type add_partial(Type a, Type b) {
    return {words(vaddq_u8(bytes(a.low), bytes(b.low))), words(vaddq_u8(bytes(a.high), bytes(b.high)))};
  }
  static Type finish(Type x) {
    return {vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(bytes(x.low)))), vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(bytes(x.high))))};
  }
  static uint32_t negative(Type x) {
    const uint32x4_t top = vuzp2q_u32(vreinterpretq_u32_u64(x.low), vreinterpretq_u32_u64(x.high));
    const int32x4_t lane = {0, 1, 2, 3};
    return vaddvq_u32(vshlq_u32(vshrq_n_u32(top, 31), lane));
  }
  static void store(Type x, int64_t* out) {
    vst1q_s64(out, vreinterpretq_s64_u64(x.low));
    vst1q_s64(out + 2, vreinterpretq_s64_u64(x.high));
  }
  static void store_i32(Type x, int32_t* out) { vst1q_s32(out, vreinterpretq_s32_u32(lower_halves(x))); }
  static void store_u16(Type x, uint16_t* out) { vst1_u16(out, vmovn_u32(lower_halves(x))); }

  // Two words of two rows at a time.
  static void interleave(const uint8_t* const* rows, int64_t bytes, uint64_t* group) {
    int64_t done = 0;
    for (; done + 16 <= bytes; done += 16, group += 2 * kLanes) {
      for (int lane = 0; lane < kLanes; lane += 2) {
        const uint64x2_t even = words(vld1q_u8(rows[lane] + done)), odd = words(vld1q_u8(rows[lane + 1] + done));
        vst1q_u64(group + lane, vzip1q_u64(even, odd));
        vst1q_u64(group + kLanes + lane, vzip2q_u64(even, odd));
      }
    }
    if (done == bytes) return;
    const uint8_t* tails[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) tails[lane] = rows[lane] + done;
    interleave_plain(tails, bytes - done, group);
  }

  // There is no instruction that gathers sign bits: each byte keeps the bit of its place in its word of eight, and
  // three sums of neighbours bring the 64 together.
  template <class T>
  static uint64_t sign_word(const uint8_t* row, int64_t limit) {
    const uint8x16_t place = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    constexpr int kStep = 16 * sizeof(T);
    const auto part = [&](int i) { return vandq_u8(signs<T>(row + i * kStep, limit), place); };
    const uint8x16_t quarters = vpaddq_u8(vpaddq_u8(part(0), part(1)), vpaddq_u8(part(2), part(3)));
    return vgetq_lane_u64(words(vpaddq_u8(quarters, quarters)), 0);
  }

 protected:
  static uint8x16_t bytes(uint64x2_t x) { return vreinterpretq_u8_u64(x); }
  static uint64x2_t words(uint8x16_t x) { return vreinterpretq_u64_u8(x); }
  // Direct blocks may be unaligned, which bytes never are.
  static uint64x2_t load_16(const void* p) { return words(vld1q_u8(static_cast<const uint8_t*>(p))); }

 private:
  static uint32x4_t lower_halves(Type x) {
    return vuzp1q_u32(vreinterpretq_u32_u64(x.low), vreinterpretq_u32_u64(x.high));
  }

  // 16 / kWidth elements to masks of kWidth bytes, all ones where value - 1 < limit. Masks are halved by leaving out
  // every other byte.
  template <class T, int kWidth = 1>
  static uint8x16_t signs(const uint8_t* row, int64_t limit) {
    if constexpr (kWidth < sizeof(T)) {
      const uint8_t* second = row + 8 / kWidth * sizeof(T);
      return vuzp1q_u8(signs<T, 2 * kWidth>(row, limit), signs<T, 2 * kWidth>(second, limit));
    } else if constexpr (sizeof(T) == 1) {
      const uint8x16_t less_one = vsubq_u8(vld1q_u8(row), vdupq_n_u8(1));
      return vcltq_u8(less_one, vdupq_n_u8(static_cast<uint8_t>(limit)));
    } else if constexpr (sizeof(T) == 2) {
      const uint16x8_t less_one = vsubq_u16(vreinterpretq_u16_u8(vld1q_u8(row)), vdupq_n_u16(1));
      return vreinterpretq_u8_u16(vcltq_u16(less_one, vdupq_n_u16(static_cast<uint16_t>(limit))));
    } else if constexpr (sizeof(T) == 4) {
      const uint32x4_t less_one = vsubq_u32(vreinterpretq_u32_u8(vld1q_u8(row)), vdupq_n_u32(1));
      return vreinterpretq_u8_u32(vcltq_u32(less_one, vdupq_n_u32(static_cast<uint32_t>(limit))));
    } else {
      const uint64x2_t less_one = vsubq_u64(words(vld1q_u8(row)), vdupq_n_u64(1));
      return bytes(vcltq_u64(less_one, vdupq_n_u64(static_cast<uint64_t>(limit))));
    }
  }
};

struct NeonNarrow : Neon {
  using Word = uint32_t;
  using Lane = int32_t;
  static constexpr int kWide = 8;

  static Type load(const uint32_t* p) { return {load_16(p), load_16(p + 4)}; }
  static Type broadcast(uint32_t x) { return Neon::broadcast(uint64_t{x} << 32 | x); }
  static Type add(Type a, Type b) { return {sum(a.low, b.low), sum(a.high, b.high)}; }
  static Type finish(Type x) { return {counts(x.low), counts(x.high)}; }
  static uint32_t negative(Type x) {
    const uint16x8_t top = vuzp2q_u16(vreinterpretq_u16_u64(x.low), vreinterpretq_u16_u64(x.high));
    const int16x8_t lane = {0, 1, 2, 3, 4, 5, 6, 7};
    return vaddvq_u16(vshlq_u16(vshrq_n_u16(top, 15), lane));
  }
  static void store(Type x, int32_t* out) {
    vst1q_s32(out, vreinterpretq_s32_u64(x.low));
    vst1q_s32(out + 4, vreinterpretq_s32_u64(x.high));
  }

 private:
  static uint64x2_t sum(uint64x2_t a, uint64x2_t b) {
    return vreinterpretq_u64_u32(vaddq_u32(vreinterpretq_u32_u64(a), vreinterpretq_u32_u64(b)));
  }
  static uint64x2_t counts(uint64x2_t x) { return vreinterpretq_u64_u32(vpaddlq_u16(vpaddlq_u8(bytes(x)))); }
};

}  // namespace

#if !defined(__ARM_NEON) || !defined(__aarch64__)
#error "level_neon.cpp needs NEON of 64-bit Arm"
#endif
FASTHASH_DEFINE_LEVEL(neon_level, "neon", "NEON", Neon);

}  // namespace fasthash::cpu

// SPDX-License-Identifier: Apache-2.0
// AVX-512 with VPOPCNTDQ: a popcount instruction for eight 64-bit lanes.
#include <immintrin.h>

#include "matrix_kernel.h"
#include "scan_kernel.h"
#include "score_kernel.h"

namespace fasthash::cpu {
namespace {

// GCC 12 may spill a mask that is seen as a wider number as its one or two bytes, and read eight.
inline uint32_t number(uint32_t mask) {
  asm("" : "+r"(mask));
  return mask;
}

struct Avx512Narrow {
  using Type = __m512i;
  using Word = uint32_t;
  using Lane = int32_t;
  static constexpr int kWide = 16;
  static constexpr bool kExact = true;
  static constexpr int queries_at_once(int) { return 4; }

  static Type load(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static Type broadcast(uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }
  static Type bit_xor(Type a, Type b) { return _mm512_xor_si512(a, b); }
  static Type bit_or(Type a, Type b) { return _mm512_or_si512(a, b); }
  static Type partial(Type x) { return _mm512_popcnt_epi32(x); }
  static Type add_partial(Type a, Type b) { return _mm512_add_epi32(a, b); }
  static uint32_t negative(Type x) { return number(_mm512_cmplt_epi32_mask(x, _mm512_setzero_si512())); }
  static void store(Type x, int32_t* out) { _mm512_storeu_si512(out, x); }
};

struct Avx512Floats {
  __m512 all;

  static Avx512Floats zero() { return {_mm512_setzero_ps()}; }
  static Avx512Floats load(const float* from) { return {_mm512_loadu_ps(from)}; }
  static Avx512Floats load(const int8_t* from) {
    return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))))};
  }
  static Avx512Floats load(const Half* from) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)))};
  }
  static Avx512Floats load(const Bfloat* from) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
  }
  static Avx512Floats load(const double* from) {
    const __m256 low = _mm512_cvtpd_ps(_mm512_loadu_pd(from)), high = _mm512_cvtpd_ps(_mm512_loadu_pd(from + 8));
    const __m512d both = _mm512_castpd256_pd512(_mm256_castps_pd(low));
    return {_mm512_castpd_ps(_mm512_insertf64x4(both, _mm256_castps_pd(high), 1))};
  }
  static Avx512Floats flip(Avx512Floats x, uint32_t bits) {
    const __m512i all = _mm512_castps_si512(x.all);
    const auto chosen = static_cast<__mmask16>(bits);
    return {_mm512_castsi512_ps(_mm512_mask_xor_epi32(all, chosen, all, _mm512_set1_epi32(INT32_MIN)))};
  }
  void add(Avx512Floats x) { all = _mm512_add_ps(all, x.all); }
  void add_product(Avx512Floats x, Avx512Floats y) { all = _mm512_add_ps(all, _mm512_mul_ps(x.all, y.all)); }
  float total() const {
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(all), 1));
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(all), high);
    return close(_mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1)));
  }
};

struct Avx512 {
  using Floats = Avx512Floats;
  using Narrow = Avx512Narrow;
  using Type = __m512i;
  using Word = uint64_t;
  using Lane = int64_t;
  static constexpr int kWide = 8;
  static constexpr bool kExact = true;
  // As many queries as fit the 32 registers with their words, sums and thresholds.
  static constexpr int queries_at_once(int words) {
    return words == 1 ? 8 : words == 2 ? 6 : words == 3 ? 5 : words == 4 ? 4 : 8;
  }

  static Type zero() { return _mm512_setzero_si512(); }
  static Type load(const uint64_t* p) { return _mm512_loadu_si512(p); }
  static Type broadcast(uint64_t x) { return _mm512_set1_epi64(static_cast<long long>(x)); }
  static Type bit_xor(Type a, Type b) { return _mm512_xor_si512(a, b); }
  static Type bit_and(Type a, Type b) { return _mm512_and_si512(a, b); }
  static Type bit_or(Type a, Type b) { return _mm512_or_si512(a, b); }
  static Type bit_xor3(Type a, Type b, Type c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
  static Type majority(Type a, Type b, Type c) { return _mm512_ternarylogic_epi64(a, b, c, 0xE8); }
  static bool any(Type x) { return _mm512_test_epi64_mask(x, x) != 0; }
  static Type add(Type a, Type b) { return _mm512_add_epi64(a, b); }
  static Type partial(Type x) { return _mm512_popcnt_epi64(x); }
  static Type add_partial(Type a, Type b) { return _mm512_add_epi64(a, b); }
  static Type finish(Type x) { return x; }
  static uint32_t negative(Type x) { return number(_mm512_cmplt_epi64_mask(x, _mm512_setzero_si512())); }
  static void store(Type x, int64_t* out) { _mm512_storeu_si512(out, x); }
  static void store_i32(Type x, int32_t* out) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_cvtepi64_epi32(x));
  }
  static void store_u16(Type x, uint16_t* out) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi64_epi16(x));
  }

  static void interleave(const uint8_t* const* rows, int64_t bytes, uint64_t* group) {
    int64_t done = 0;
    for (; done + 32 <= bytes; done += 32, group += 4 * kLanes) {
      transpose<4>(group, [&](int i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[i] + done)); });
    }
    if (done == bytes) return;
    const auto mask = static_cast<__mmask32>(~uint64_t{0} >> (64 - (bytes - done)));
    const auto rest = [&](int i) { return _mm256_maskz_loadu_epi8(mask, rows[i] + done); };
    if (bytes - done <= 8) return transpose<1>(group, rest);
    if (bytes - done <= 16) return transpose<2>(group, rest);
    transpose<4>(group, rest, (bytes - done + 7) / 8);
  }

  template <class T>
  static uint64_t sign_word(const uint8_t* row, int64_t limit) {
    uint64_t word = 0;
    for (int i = 0; i < static_cast<int>(sizeof(T)); ++i) {
      word |= signs<T>(_mm512_loadu_si512(row + 64 * i), limit) << i * (64 / sizeof(T)) % 64;
    }
    return word;
  }

 private:
  // Four words of eight rows, or the first of them. Rows i and i + 4 share a register.
  template <int kWords, class LoadRow>
  static void transpose(uint64_t* out, LoadRow row, int64_t words = kWords) {
    const auto pair = [&](int i) { return _mm512_inserti64x4(_mm512_castsi256_si512(row(i)), row(i + 4), 1); };
    const Type row0 = pair(0), row1 = pair(1), row2 = pair(2), row3 = pair(3);
    const Type even01 = _mm512_unpacklo_epi64(row0, row1), odd01 = _mm512_unpackhi_epi64(row0, row1);
    const Type even23 = _mm512_unpacklo_epi64(row2, row3), odd23 = _mm512_unpackhi_epi64(row2, row3);
    const Type first = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13),
               second = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    _mm512_storeu_si512(out, _mm512_permutex2var_epi64(even01, first, even23));
    if (words > 1) _mm512_storeu_si512(out + kLanes, _mm512_permutex2var_epi64(odd01, first, odd23));
    if (words > 2) _mm512_storeu_si512(out + 2 * kLanes, _mm512_permutex2var_epi64(even01, second, even23));
    if (words > 3) _mm512_storeu_si512(out + 3 * kLanes, _mm512_permutex2var_epi64(odd01, second, odd23));
  }

  template <class T>
  static uint64_t signs(Type x, int64_t limit) {
    if constexpr (sizeof(T) == 1) {
      const auto less_one = _mm512_sub_epi8(x, _mm512_set1_epi8(1));
      return _mm512_cmplt_epu8_mask(less_one, _mm512_set1_epi8(static_cast<char>(limit)));
    } else if constexpr (sizeof(T) == 2) {
      const auto less_one = _mm512_sub_epi16(x, _mm512_set1_epi16(1));
      return number(_mm512_cmplt_epu16_mask(less_one, _mm512_set1_epi16(static_cast<int16_t>(limit))));
    } else if constexpr (sizeof(T) == 4) {
      const auto less_one = _mm512_sub_epi32(x, _mm512_set1_epi32(1));
      return number(_mm512_cmplt_epu32_mask(less_one, _mm512_set1_epi32(static_cast<int>(limit))));
    } else {
      const auto less_one = _mm512_sub_epi64(x, _mm512_set1_epi64(1));
      return number(_mm512_cmplt_epu64_mask(less_one, _mm512_set1_epi64(limit)));
    }
  }
};

}  // namespace

#if !defined(__AVX512VPOPCNTDQ__) || !defined(__AVX512BW__) || !defined(__AVX512VL__)
#error "level_avx512.cpp needs AVX-512 BW, VL and VPOPCNTDQ"
#endif
FASTHASH_DEFINE_LEVEL(avx512_level, "avx512", "AVX-512 F, BW, VL, VPOPCNTDQ", Avx512);

}  // namespace fasthash::cpu

// AVX-512 with VPOPCNTDQ: a popcount instruction for eight 64-bit lanes.
#include <immintrin.h>

#include "kernels.h"

namespace fasthash::cpu {
namespace {

struct Avx512 {
  using Type = __m512i;
  static constexpr int kWide = 8;
  static constexpr bool kCompresses = true;
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
  static uint32_t negative(Type x) {
    uint32_t lanes = _mm512_cmplt_epi64_mask(x, _mm512_setzero_si512());
    asm("" : "+r"(lanes));  // GCC 12 may, with sanitizers at -O1, spill the mask as one byte and read eight
    return lanes;
  }
  static void store(Type x, int64_t* out) { _mm512_storeu_si512(out, x); }
  static void store_u16(Type x, uint16_t* out) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi64_epi16(x));
  }

  // Eight keys are written, those after the hits are overwritten later.
  static void compress_keys(uint64_t* keys, uint32_t hits, const int64_t* below, int64_t threshold, int64_t first) {
    const Type distance = _mm512_add_epi64(_mm512_loadu_si512(below), _mm512_set1_epi64(threshold));
    const Type index = _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
    const Type key = _mm512_or_si512(_mm512_slli_epi64(distance, 48), index);
    _mm512_storeu_si512(keys, _mm512_maskz_compress_epi64(static_cast<__mmask8>(hits), key));
  }
  static void interleave(const uint8_t* const* rows, int64_t bytes, uint64_t* group) {
    if (bytes <= 8) return interleave_plain(rows, bytes, group);
    for (int64_t done = 0; done < bytes; done += 32, group += 4 * kLanes) {
      const int64_t left = bytes - done < 32 ? bytes - done : 32;
      transpose(rows, done, static_cast<__mmask32>(~uint64_t{0} >> (64 - left)), static_cast<int>((left + 7) / 8),
                group);
    }
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
  // Up to four words of eight rows, from byte `at` on. Rows i and i + 4 share a register.
  static void transpose(const uint8_t* const* rows, int64_t at, __mmask32 bytes, int words, uint64_t* out) {
    const auto pair = [&](int i) {
      const __m256i low = _mm256_maskz_loadu_epi8(bytes, rows[i] + at);
      const __m256i high = _mm256_maskz_loadu_epi8(bytes, rows[i + 4] + at);
      return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    };
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
      return _mm512_cmplt_epu16_mask(less_one, _mm512_set1_epi16(static_cast<int16_t>(limit)));
    } else if constexpr (sizeof(T) == 4) {
      const auto less_one = _mm512_sub_epi32(x, _mm512_set1_epi32(1));
      return _mm512_cmplt_epu32_mask(less_one, _mm512_set1_epi32(static_cast<int>(limit)));
    } else {
      const auto less_one = _mm512_sub_epi64(x, _mm512_set1_epi64(1));
      return _mm512_cmplt_epu64_mask(less_one, _mm512_set1_epi64(limit));
    }
  }
};

}  // namespace

#if !defined(__AVX512VPOPCNTDQ__) || !defined(__AVX512BW__) || !defined(__AVX512VL__)
#error "level_avx512.cpp needs AVX-512 BW, VL and VPOPCNTDQ"
#endif
FASTHASH_DEFINE_LEVEL(avx512_level, "avx512", "AVX-512 F, BW, VL, VPOPCNTDQ", Avx512);

}  // namespace fasthash::cpu

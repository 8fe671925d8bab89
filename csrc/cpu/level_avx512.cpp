// AVX-512 with VPOPCNTDQ: a popcount instruction for eight 64-bit lanes.
#include <immintrin.h>

#include "kernels.h"

namespace fasthash::cpu {
namespace {

struct Avx512 {
  using Type = __m512i;
  static constexpr int kWide = 8;
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
  static Type add(Type a, Type b) { return _mm512_add_epi64(a, b); }
  static Type partial(Type x) { return _mm512_popcnt_epi64(x); }
  static Type add_partial(Type a, Type b) { return _mm512_add_epi64(a, b); }
  static Type finish(Type x) { return x; }
  static uint32_t negative(Type x) { return _mm512_cmplt_epi64_mask(x, _mm512_setzero_si512()); }
  static void store(Type x, int64_t* out) { _mm512_storeu_si512(out, x); }
  static void store_u16(Type x, uint16_t* out) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm512_cvtepi64_epi16(x));
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
  // The second compare runs under the mask of the first.
  template <class T>
  static uint64_t signs(Type x, int64_t limit) {
    const Type none = _mm512_setzero_si512();
    if constexpr (sizeof(T) == 1) {
      const auto most = _mm512_set1_epi8(static_cast<char>(limit));
      return _mm512_mask_cmpgt_epi8_mask(_mm512_cmple_epi8_mask(x, most), x, none);
    } else if constexpr (sizeof(T) == 2) {
      const auto most = _mm512_set1_epi16(static_cast<int16_t>(limit));
      return _mm512_mask_cmpgt_epi16_mask(_mm512_cmple_epi16_mask(x, most), x, none);
    } else if constexpr (sizeof(T) == 4) {
      const auto most = _mm512_set1_epi32(static_cast<int>(limit));
      return _mm512_mask_cmpgt_epi32_mask(_mm512_cmple_epi32_mask(x, most), x, none);
    } else {
      const auto most = _mm512_set1_epi64(limit);
      return _mm512_mask_cmpgt_epi64_mask(_mm512_cmple_epi64_mask(x, most), x, none);
    }
  }
};

}  // namespace

#if !defined(__AVX512VPOPCNTDQ__) || !defined(__AVX512BW__) || !defined(__AVX512VL__)
#error "level_avx512.cpp needs AVX-512 BW, VL and VPOPCNTDQ"
#endif
FASTHASH_DEFINE_LEVEL(avx512_level, "avx512", "AVX-512 F, BW, VL, VPOPCNTDQ", Avx512);

}  // namespace fasthash::cpu

// SPDX-License-Identifier: Apache-2.0
// AVX2: popcount by table look-up of nibbles; sums stay in bytes for up to 31 words.
#include <immintrin.h>

#include "matrix_kernel.h"
#include "scan_kernel.h"
#include "score_kernel.h"

namespace fasthash::cpu {
namespace {

struct Avx2Narrow;

struct Avx2Floats {
  __m256 low, high;

  static Avx2Floats zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Avx2Floats load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
  static Avx2Floats load(const int8_t* from) {
    const __m128i bytes = load_128(from);
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes)))};
  }
  static Avx2Floats load(const Half* from) {
    return {_mm256_cvtph_ps(load_128(from)), _mm256_cvtph_ps(load_128(from + 8))};
  }
  static Avx2Floats load(const Bfloat* from) {
    const auto widen = [](__m128i x) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16)); };
    return {widen(load_128(from)), widen(load_128(from + 8))};
  }
  static Avx2Floats load(const double* from) {
    const auto narrow = [&](int i) { return _mm256_cvtpd_ps(_mm256_loadu_pd(from + i)); };
    return {_mm256_set_m128(narrow(4), narrow(0)), _mm256_set_m128(narrow(12), narrow(8))};
  }
  static Avx2Floats flip(Avx2Floats x, uint32_t bits) {
    const __m256i all = _mm256_set1_epi32(static_cast<int>(bits)), sign = _mm256_set1_epi32(INT32_MIN);
    const auto flipped = [&](__m256 half, __m256i shifts) {
      const __m256i chosen = _mm256_and_si256(_mm256_sllv_epi32(all, shifts), sign);
      return _mm256_xor_ps(half, _mm256_castsi256_ps(chosen));
    };
    return {flipped(x.low, _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24)),
            flipped(x.high, _mm256_setr_epi32(23, 22, 21, 20, 19, 18, 17, 16))};
  }
  void add(Avx2Floats x) {
    low = _mm256_add_ps(low, x.low);
    high = _mm256_add_ps(high, x.high);
  }
  void add_product(Avx2Floats x, Avx2Floats y) {
    low = _mm256_add_ps(low, _mm256_mul_ps(x.low, y.low));
    high = _mm256_add_ps(high, _mm256_mul_ps(x.high, y.high));
  }
  float total() const {
    const __m256 eight = _mm256_add_ps(low, high);
    return close(_mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1)));
  }

 private:
  static __m128i load_128(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
};

struct Avx2 {
  using Floats = Avx2Floats;
  using Narrow = Avx2Narrow;
  using Type = __m256i;
  using Word = uint64_t;
  using Lane = int64_t;
  static constexpr int kWide = 4;
  static constexpr bool kExact = false;
  static constexpr int queries_at_once(int) { return 4; }

  static Type zero() { return _mm256_setzero_si256(); }
  static Type load(const uint64_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Type broadcast(uint64_t x) { return _mm256_set1_epi64x(static_cast<long long>(x)); }
  static Type bit_xor(Type a, Type b) { return _mm256_xor_si256(a, b); }
  static Type bit_and(Type a, Type b) { return _mm256_and_si256(a, b); }
  static Type bit_or(Type a, Type b) { return _mm256_or_si256(a, b); }
  static bool any(Type x) { return _mm256_testz_si256(x, x) == 0; }
  static Type add(Type a, Type b) { return _mm256_add_epi64(a, b); }
  static Type partial(Type x) {
    const Type table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                        0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const Type nibble = _mm256_set1_epi8(15);
    const Type low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, nibble));
    const Type high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), nibble));
    return _mm256_add_epi8(low, high);
  }
  static Type add_partial(Type a, Type b) { return _mm256_add_epi8(a, b); }
  static Type finish(Type x) { return _mm256_sad_epu8(x, _mm256_setzero_si256()); }
  static uint32_t negative(Type x) { return static_cast<uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(x))); }
  static void store(Type x, int64_t* out) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), x); }
  static void store_i32(Type x, int32_t* out) {
    const Type even = _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm256_castsi256_si128(even));
  }
  static void store_u16(Type x, uint16_t* out) {
    int64_t lanes[4];
    store(x, lanes);
    for (int i = 0; i < 4; ++i) out[i] = static_cast<uint16_t>(lanes[i]);
  }

  static void interleave(const uint8_t* const* rows, int64_t bytes, uint64_t* group) {
    int64_t done = 0;
    for (; done + 32 <= bytes; done += 32, group += 4 * kLanes) {
      transpose(rows, done, group);
      transpose(rows + 4, done, group + 4);
    }
    if (done == bytes) return;
    const uint8_t* tails[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) tails[lane] = rows[lane] + done;
    interleave_plain(tails, bytes - done, group);
  }

  template <class T>
  static uint64_t sign_word(const uint8_t* row, int64_t limit) {
    const auto* in = reinterpret_cast<const __m256i*>(row);
    uint64_t word = 0;
    for (int i = 0; i < 2 * static_cast<int>(sizeof(T)); ++i) {
      word |= signs<T>(_mm256_loadu_si256(in + i), limit) << i * (32 / sizeof(T));
    }
    return word;
  }

 private:
  // Four words of four rows, from byte `at` on, to lanes 0..3 of four words.
  static void transpose(const uint8_t* const* rows, int64_t at, uint64_t* out) {
    const auto row = [&](int i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[i] + at)); };
    const Type even01 = _mm256_unpacklo_epi64(row(0), row(1)), odd01 = _mm256_unpackhi_epi64(row(0), row(1));
    const Type even23 = _mm256_unpacklo_epi64(row(2), row(3)), odd23 = _mm256_unpackhi_epi64(row(2), row(3));
    const auto put = [&](int word, Type x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + word * kLanes), x); };
    put(0, _mm256_permute2x128_si256(even01, even23, 0x20));
    put(1, _mm256_permute2x128_si256(odd01, odd23, 0x20));
    put(2, _mm256_permute2x128_si256(even01, even23, 0x31));
    put(3, _mm256_permute2x128_si256(odd01, odd23, 0x31));
  }

  // AVX2 compares unsigned integers by their minimum, but for those of 64 bits.
  template <class T>
  static uint64_t signs(Type x, int64_t limit) {
    if constexpr (sizeof(T) == 1) {
      const Type less_one = _mm256_sub_epi8(x, _mm256_set1_epi8(1));
      const Type most = _mm256_set1_epi8(static_cast<char>(limit - 1));
      return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(less_one, most), less_one)));
    } else if constexpr (sizeof(T) == 2) {
      const Type less_one = _mm256_sub_epi16(x, _mm256_set1_epi16(1));
      const Type most = _mm256_set1_epi16(static_cast<int16_t>(limit - 1));
      const Type hit = _mm256_cmpeq_epi16(_mm256_min_epu16(less_one, most), less_one);
      const __m128i narrow = _mm_packs_epi16(_mm256_castsi256_si128(hit), _mm256_extracti128_si256(hit, 1));
      return static_cast<uint32_t>(_mm_movemask_epi8(narrow));
    } else if constexpr (sizeof(T) == 4) {
      const Type less_one = _mm256_sub_epi32(x, _mm256_set1_epi32(1));
      const Type most = _mm256_set1_epi32(static_cast<int>(limit - 1));
      const Type hit = _mm256_cmpeq_epi32(_mm256_min_epu32(less_one, most), less_one);
      return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(hit)));
    } else {
      const Type sign = _mm256_set1_epi64x(INT64_MIN);
      const Type less_one = _mm256_xor_si256(_mm256_sub_epi64(x, _mm256_set1_epi64x(1)), sign);
      const Type hit = _mm256_cmpgt_epi64(_mm256_xor_si256(_mm256_set1_epi64x(limit), sign), less_one);
      return static_cast<uint32_t>(_mm256_movemask_pd(_mm256_castsi256_pd(hit)));
    }
  }
};

struct Avx2Narrow : Avx2 {
  using Word = uint32_t;
  using Lane = int32_t;
  static constexpr int kWide = 8;

  static Type load(const uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Type broadcast(uint32_t x) { return _mm256_set1_epi32(static_cast<int>(x)); }
  static Type add(Type a, Type b) { return _mm256_add_epi32(a, b); }
  static Type finish(Type x) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(x, _mm256_set1_epi8(1)), _mm256_set1_epi16(1));
  }
  static uint32_t negative(Type x) { return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(x))); }
  static void store(Type x, int32_t* out) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), x); }
};

}  // namespace

#if !defined(__AVX2__)
#error "level_avx2.cpp needs -mavx2"
#endif
FASTHASH_DEFINE_LEVEL(avx2_level, "avx2", "AVX2", Avx2);

}  // namespace fasthash::cpu

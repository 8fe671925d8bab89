// SPDX-License-Identifier: Apache-2.0
// The base of the architecture: 64-bit words, no vector instructions of our own.
#include <type_traits>

#include "matrix_kernel.h"
#include "scan_kernel.h"
#include "score_kernel.h"

namespace fasthash::cpu {
namespace {

// T is 64 or 32 bits wide.
template <class T>
struct Lanes {
  using Type = T;
  using Word = T;
  using Lane = std::make_signed_t<T>;
  static constexpr int kWide = 1;
  static constexpr bool kExact = false;
  static constexpr int queries_at_once(int) { return 4; }

  static Type zero() { return 0; }
  static Type load(const T* p) {
    Type value;
    std::memcpy(&value, p, sizeof value);  // direct blocks may be unaligned
    return value;
  }
  static Type broadcast(T x) { return x; }
  static Type bit_xor(Type a, Type b) { return a ^ b; }
  static Type bit_and(Type a, Type b) { return a & b; }
  static Type bit_or(Type a, Type b) { return a | b; }
  static Type add(Type a, Type b) { return a + b; }
  // Bytes counted in parallel: x86-64 has no popcount instruction in its base.
  static Type partial(Type x) {
    x -= x >> 1 & static_cast<T>(0x5555555555555555u);
    x = (x & static_cast<T>(0x3333333333333333u)) + (x >> 2 & static_cast<T>(0x3333333333333333u));
    return (x + (x >> 4)) & static_cast<T>(0x0F0F0F0F0F0F0F0Fu);
  }
  static Type add_partial(Type a, Type b) { return a + b; }
  static Type finish(Type x) {
    // Two steps: eight bytes of up to 248 need more than the 8 bits that one multiplication leaves.
    constexpr auto kPairs = static_cast<T>(0x00FF00FF00FF00FFu);
    x = (x & kPairs) + (x >> 8 & kPairs);
    return x * static_cast<T>(0x0001000100010001u) >> (8 * sizeof(T) - 16);
  }
  static uint32_t negative(Type x) { return static_cast<uint32_t>(x >> (8 * sizeof(T) - 1)); }
  static void store(Type x, Lane* out) { *out = static_cast<Lane>(x); }
  static void store_i32(Type x, int32_t* out) { *out = static_cast<int32_t>(x); }
  static void store_u16(Type x, uint16_t* out) { *out = static_cast<uint16_t>(x); }
};

struct Scalar : Lanes<uint64_t> {
  using Narrow = Lanes<uint32_t>;

  static void interleave(const uint8_t* const* rows, int64_t bytes, uint64_t* group) {
    interleave_plain(rows, bytes, group);
  }

  template <class T>
  static uint64_t sign_word(const uint8_t* row, int64_t limit) {
    T values[64];
    std::memcpy(values, row, sizeof values);
    return sign_word_plain(values, limit);
  }
};

}  // namespace

FASTHASH_DEFINE_LEVEL(scalar_level, "scalar", "base", Scalar);

}  // namespace fasthash::cpu

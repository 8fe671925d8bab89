// The base of the architecture: 64-bit words, no vector instructions of our own.
#include "scan_kernel.h"

namespace fasthash::cpu {
namespace {

struct Scalar {
  using Type = uint64_t;
  using Word = uint64_t;
  using Lane = int64_t;
  static constexpr int kWide = 1;
  static constexpr bool kExact = false;
  static constexpr int queries_at_once(int) { return 4; }

  static Type zero() { return 0; }
  static Type load(const uint64_t* p) {
    Type value;
    std::memcpy(&value, p, sizeof value);  // direct blocks may be unaligned
    return value;
  }
  static Type broadcast(uint64_t x) { return x; }
  static Type bit_xor(Type a, Type b) { return a ^ b; }
  static Type bit_and(Type a, Type b) { return a & b; }
  static Type bit_or(Type a, Type b) { return a | b; }
  static Type add(Type a, Type b) { return a + b; }
  // Bytes counted in parallel: x86-64 has no popcount instruction in its base.
  static Type partial(Type x) {
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Fu;
  }
  static Type add_partial(Type a, Type b) { return a + b; }
  static Type finish(Type x) {
    // Two steps: eight bytes of up to 248 need more than the 8 bits that one multiplication leaves.
    x = (x & 0x00FF00FF00FF00FFu) + (x >> 8 & 0x00FF00FF00FF00FFu);
    return x * 0x0001000100010001u >> 48;
  }
  static uint32_t negative(Type x) { return static_cast<uint32_t>(x >> 63); }
  static void interleave(const uint8_t* const* rows, int64_t bytes, uint64_t* group) {
    interleave_plain(rows, bytes, group);
  }
  static void store(Type x, int64_t* out) { *out = static_cast<int64_t>(x); }
  static void store_u16(Type x, uint16_t* out) { *out = static_cast<uint16_t>(x); }

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

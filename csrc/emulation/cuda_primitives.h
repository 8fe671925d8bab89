// SPDX-License-Identifier: Apache-2.0
// The device functions of CUDA that the kernels use, under CUDA's names.
#pragma once

#include <cmath>

#include "cuda_emulation.h"

namespace fasthash::emulation::primitives {

inline void __syncthreads(Where where = Where::current()) {
  barrier("__syncthreads", true, where);
}
inline int __syncthreads_count(int predicate, Where where = Where::current()) {
  return barrier("__syncthreads_count", predicate != 0, where);
}
inline int __syncthreads_or(int predicate, Where where = Where::current()) {
  return barrier("__syncthreads_or", predicate != 0, where) != 0;
}
inline int __syncthreads_and(int predicate, Where where = Where::current()) {
  return barrier("__syncthreads_and", predicate == 0, where) == 0;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, Where where = Where::current()) {
  sync_warp(mask, where);
}

// Votes.

inline unsigned __ballot_sync(unsigned mask, int predicate, Where where = Where::current()) {
  const Lanes& lanes = meet("__ballot_sync", mask, predicate != 0, where);
  unsigned result = 0;
  for (int i = 0; i < 32; ++i) result |= static_cast<unsigned>(lanes[i]) << i;
  return result;
}
inline int __any_sync(unsigned mask, int predicate, Where where = Where::current()) {
  const Lanes& lanes = meet("__any_sync", mask, predicate != 0, where);
  return std::any_of(lanes.begin(), lanes.end(), [](uint64_t lane) { return lane != 0; });
}
inline int __all_sync(unsigned mask, int predicate, Where where = Where::current()) {
  const Lanes& lanes = meet("__all_sync", mask, predicate == 0, where);
  return std::none_of(lanes.begin(), lanes.end(), [](uint64_t lane) { return lane != 0; });
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, Where where = Where::current()) {
  const Lanes& lanes = meet("__match_any_sync", mask, to_bits(value), where);
  unsigned result = 0;
  for (int i = 0; i < 32; ++i) {
    if (mask >> i & 1 && lanes[i] == to_bits(value)) result |= 1u << i;
  }
  return result;
}

template <class T>
unsigned __match_all_sync(unsigned mask, T value, int* predicate, Where where = Where::current()) {
  const Lanes& lanes = meet("__match_all_sync", mask, to_bits(value), where);
  *predicate = 1;
  for (int i = 0; i < 32; ++i) {
    if (mask >> i & 1 && lanes[i] != to_bits(value)) *predicate = 0;
  }
  return *predicate ? mask : 0;
}

// Shuffles. Lanes form segments of `width`, a power of two.

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, Where where = Where::current()) {
  const int segment = lane_id() & -width;
  return shuffle("__shfl_sync", mask, value, segment + (source & (width - 1)), where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, Where where = Where::current()) {
  const int lane = lane_id();
  const int source = lane - static_cast<int>(delta);
  return shuffle("__shfl_up_sync", mask, value, source < (lane & -width) ? -1 : source, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, Where where = Where::current()) {
  const int lane = lane_id();
  const int source = lane + static_cast<int>(delta);
  const int end = (lane & -width) + width;
  return shuffle("__shfl_down_sync", mask, value, source < end ? source : -1, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, Where where = Where::current()) {
  const int lane = lane_id();
  const int source = lane ^ lanes;
  const int end = (lane & -width) + width;
  return shuffle("__shfl_xor_sync", mask, value, source < end ? source : -1, where);
}

// Reductions.

template <class T>
T __reduce_add_sync(unsigned mask, T value, Where where = Where::current()) {
  return reduce("__reduce_add_sync", mask, value, where, [](T a, T b) { return a + b; });
}
template <class T>
T __reduce_min_sync(unsigned mask, T value, Where where = Where::current()) {
  return reduce("__reduce_min_sync", mask, value, where, [](T a, T b) { return min(a, b); });
}
template <class T>
T __reduce_max_sync(unsigned mask, T value, Where where = Where::current()) {
  return reduce("__reduce_max_sync", mask, value, where, [](T a, T b) { return max(a, b); });
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned value, Where where = Where::current()) {
  return reduce("__reduce_and_sync", mask, value, where, [](unsigned a, unsigned b) { return a & b; });
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value, Where where = Where::current()) {
  return reduce("__reduce_or_sync", mask, value, where, [](unsigned a, unsigned b) { return a | b; });
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value, Where where = Where::current()) {
  return reduce("__reduce_xor_sync", mask, value, where, [](unsigned a, unsigned b) { return a ^ b; });
}

// Atomics: threads run one at a time. Each returns the old value.

template <class T, class Change>
FASTHASH_UNSEEN T change_atomically(T* address, Change change) {
  see(address, sizeof(T), Access::kAtomic);
  const T old = *address;
  *address = change(old);
  return old;
}
#define FASTHASH_ATOMIC(name, result)                                                           \
  template <class T>                                                                            \
  T name(T* address, std::type_identity_t<T> value) {                                           \
    return change_atomically(address, [value]([[maybe_unused]] T old) -> T { return result; }); \
  }
FASTHASH_ATOMIC(atomicAdd, old + value)
FASTHASH_ATOMIC(atomicSub, old - value)
FASTHASH_ATOMIC(atomicMin, min(old, value))
FASTHASH_ATOMIC(atomicMax, max(old, value))
FASTHASH_ATOMIC(atomicAnd, old& value)
FASTHASH_ATOMIC(atomicOr, old | value)
FASTHASH_ATOMIC(atomicXor, old ^ value)
FASTHASH_ATOMIC(atomicExch, value)
FASTHASH_ATOMIC(atomicInc, old >= value ? 0 : old + 1)
#undef FASTHASH_ATOMIC
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return change_atomically(address, [=](T old) { return old == expected ? value : old; });
}

// Memory: one thread at a time, each sees what was written before.

inline void __threadfence_block() {}
inline void __threadfence() {}
template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}

// Bits.

inline int __popc(unsigned x) {
  return std::popcount(x);
}
inline int __popcll(unsigned long long x) {
  return std::popcount(x);
}
inline int __clz(int x) {
  return std::countl_zero(static_cast<unsigned>(x));
}
inline int __clzll(long long x) {
  return std::countl_zero(static_cast<unsigned long long>(x));
}
inline int __ffs(int x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1;
}
inline int __ffsll(long long x) {
  return x == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(x)) + 1;
}
inline unsigned __brev(unsigned x) {
  unsigned result = 0;
  for (int i = 0; i < 32; ++i) result |= (x >> i & 1) << (31 - i);
  return result;
}
// The high (low) word of high:low, shifted to the left (right) by shift % 32.
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) << (shift & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) >> (shift & 31));
}
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>(uint64_t{x} * y >> 32);
}
// Byte i of the result is byte (selector >> 4 * i) & 7 of the eight bytes x, y; with bit 3, its sign eight times.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned choice = selector >> (4 * i) & 0xf;
    unsigned byte = static_cast<unsigned>(bytes >> (8 * (choice & 7))) & 0xff;
    if (choice & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}

// Floats: each operation rounded by itself, never fused.

struct __half {
  unsigned short bits;
};
inline float __half2float(__half x) {
  const int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
  float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                  : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  if (exponent == 31) magnitude = fraction == 0 ? INFINITY : NAN;
  return x.bits >> 15 != 0 ? -magnitude : magnitude;
}
inline float __uint_as_float(unsigned x) {
  return std::bit_cast<float>(x);
}
inline unsigned __float_as_uint(float x) {
  return std::bit_cast<unsigned>(x);
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}

}  // namespace fasthash::emulation::primitives

using namespace fasthash::emulation::primitives;

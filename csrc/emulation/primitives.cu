// SPDX-License-Identifier: Apache-2.0
#include "primitives.h"

#include "b1.cuh"

namespace fasthash::emulation {
namespace {

constexpr int kThreads = 64;

__global__ void primitive_kernel(Primitive function, const uint64_t* a, const uint64_t* b, const uint64_t* c,
                                 uint64_t* out) {
  const unsigned i = threadIdx.x;
  out[i] = function(a[i], b[i], c[i]);
}

// An atomic on a place that holds `a`: the old value, times 3, plus the new one.
template <class T, class Change>
uint64_t on_a_place(uint64_t a, Change change) {
  FASTHASH_SHARED(T, places, kThreads);
  T& place = places[threadIdx.x];
  place = static_cast<T>(a);
  const T old = change(&place);
  return static_cast<T>(3 * static_cast<uint64_t>(old) + static_cast<uint64_t>(place));  // wraps around
}

unsigned low(uint64_t x) {
  return static_cast<unsigned>(x);
}

uint64_t match_all(unsigned mask, uint64_t value) {
  int predicate = -1;
  const unsigned lanes = __match_all_sync(mask, value, &predicate);
  return uint64_t{lanes} << 1 | static_cast<unsigned>(predicate);
}

template <int kBits>
__global__ void b1_mma_kernel(const uint32_t* a, const uint32_t* b, const int32_t* c, int32_t* d, bool wrong_lane) {
  constexpr int kRowWords = kBits / 64;
  const int lane = cuda::lane_index();
  const int from = wrong_lane && lane < 2 ? 1 - lane : lane;
  uint32_t own_a[4] = {};
  int sums[4], start[4];
  for (int i = 0; i < kRowWords; ++i) own_a[i] = a[from * kRowWords + i];
  for (int i = 0; i < 4; ++i) start[i] = c[4 * lane + i];
  if constexpr (kBits == 256) {
    cuda::b1_mma_256(sums, own_a, b[2 * from], b[2 * from + 1], start);
  } else {
    cuda::b1_mma_128(sums, own_a, b[from], start);
  }
  for (int i = 0; i < 4; ++i) d[4 * lane + i] = sums[i];
}

#define FASTHASH_PRIMITIVE(name, result)                                                                         \
  {name, []([[maybe_unused]] uint64_t a, [[maybe_unused]] uint64_t b, [[maybe_unused]] uint64_t c) -> uint64_t { \
     return result;                                                                                              \
   }}
#define FASTHASH_ATOMIC(name, type)       \
  FASTHASH_PRIMITIVE(#name "<" #type ">", \
                     (on_a_place<type>(a, [b](type* place) { return name(place, static_cast<type>(b)); })))

const std::vector<NamedPrimitive> kPrimitives = {
    FASTHASH_PRIMITIVE("__syncthreads_count", __syncthreads_count(a & 1)),
    FASTHASH_PRIMITIVE("__syncthreads_or", __syncthreads_or(low(a))),
    FASTHASH_PRIMITIVE("__syncthreads_and", __syncthreads_and(low(a))),
    FASTHASH_PRIMITIVE("__ballot_sync", __ballot_sync(low(c), a & 1)),
    FASTHASH_PRIMITIVE("__any_sync", __any_sync(low(c), low(a))),
    FASTHASH_PRIMITIVE("__all_sync", __all_sync(low(c), low(a))),
    FASTHASH_PRIMITIVE("__match_any_sync", __match_any_sync(low(c), a)),
    FASTHASH_PRIMITIVE("__match_all_sync", match_all(low(c), a)),
    FASTHASH_PRIMITIVE("__shfl_sync", __shfl_sync(0xffffffffu, a, static_cast<int>(b), static_cast<int>(c))),
    FASTHASH_PRIMITIVE("__shfl_up_sync", __shfl_up_sync(0xffffffffu, a, low(b), static_cast<int>(c))),
    FASTHASH_PRIMITIVE("__shfl_down_sync", __shfl_down_sync(0xffffffffu, a, low(b), static_cast<int>(c))),
    FASTHASH_PRIMITIVE("__shfl_xor_sync", __shfl_xor_sync(0xffffffffu, a, static_cast<int>(b), static_cast<int>(c))),
    FASTHASH_PRIMITIVE("__reduce_add_sync", __reduce_add_sync(low(c), low(a))),
    FASTHASH_PRIMITIVE("__reduce_min_sync", __reduce_min_sync(low(c), low(a))),
    FASTHASH_PRIMITIVE("__reduce_max_sync", __reduce_max_sync(low(c), low(a))),
    FASTHASH_PRIMITIVE("__reduce_min_sync<int>", low(__reduce_min_sync(low(c), static_cast<int>(a)))),
    FASTHASH_PRIMITIVE("__reduce_and_sync", __reduce_and_sync(low(c), low(a))),
    FASTHASH_PRIMITIVE("__reduce_or_sync", __reduce_or_sync(low(c), low(a))),
    FASTHASH_PRIMITIVE("__reduce_xor_sync", __reduce_xor_sync(low(c), low(a))),
    FASTHASH_ATOMIC(atomicAdd, uint32_t),
    FASTHASH_ATOMIC(atomicAdd, uint64_t),
    FASTHASH_ATOMIC(atomicSub, uint32_t),
    FASTHASH_ATOMIC(atomicMin, uint64_t),
    FASTHASH_ATOMIC(atomicMin, int32_t),
    FASTHASH_ATOMIC(atomicMax, uint64_t),
    FASTHASH_ATOMIC(atomicMax, int32_t),
    FASTHASH_ATOMIC(atomicAnd, uint64_t),
    FASTHASH_ATOMIC(atomicOr, uint64_t),
    FASTHASH_ATOMIC(atomicXor, uint64_t),
    FASTHASH_ATOMIC(atomicExch, uint64_t),
    FASTHASH_ATOMIC(atomicInc, uint32_t),
    FASTHASH_PRIMITIVE("atomicCAS",
                       (on_a_place<uint64_t>(a, [b, c](uint64_t* place) { return atomicCAS(place, b, c); }))),
    FASTHASH_PRIMITIVE("__ldg", __ldg(&a)),
    FASTHASH_PRIMITIVE("__ldcs", __ldcs(&a)),
    FASTHASH_PRIMITIVE("__stcs", (__stcs(&a, b), a)),
    FASTHASH_PRIMITIVE("__popc", __popc(low(a))),
    FASTHASH_PRIMITIVE("__popcll", __popcll(a)),
    FASTHASH_PRIMITIVE("__clz", __clz(static_cast<int>(a))),
    FASTHASH_PRIMITIVE("__clzll", __clzll(static_cast<long long>(a))),
    FASTHASH_PRIMITIVE("__ffs", __ffs(static_cast<int>(a))),
    FASTHASH_PRIMITIVE("__ffsll", __ffsll(static_cast<long long>(a))),
    FASTHASH_PRIMITIVE("__brev", __brev(low(a))),
    FASTHASH_PRIMITIVE("__byte_perm", __byte_perm(low(a), low(b), low(c))),
    FASTHASH_PRIMITIVE("__funnelshift_l", __funnelshift_l(low(a), low(b), low(c))),
    FASTHASH_PRIMITIVE("__funnelshift_r", __funnelshift_r(low(a), low(b), low(c))),
    FASTHASH_PRIMITIVE("__umulhi", __umulhi(low(a), low(b))),
    FASTHASH_PRIMITIVE("make_uint2", std::bit_cast<uint64_t>(make_uint2(low(a), low(b)))),
    FASTHASH_PRIMITIVE("make_uint4", make_uint4(1, 2, low(a), low(b)).z + uint64_t{make_uint4(1, 2, 3, low(b)).w}),
    FASTHASH_PRIMITIVE("make_ulonglong2", make_ulonglong2(a, b).x ^ 3 * make_ulonglong2(a, b).y),
    FASTHASH_PRIMITIVE("__float_as_uint", __float_as_uint(__uint_as_float(low(a)))),
    FASTHASH_PRIMITIVE("__fadd_rn", __float_as_uint(__fadd_rn(__uint_as_float(low(a)), __uint_as_float(low(b))))),
    FASTHASH_PRIMITIVE("__fmul_rn", __float_as_uint(__fmul_rn(__uint_as_float(low(a)), __uint_as_float(low(b))))),
};

}  // namespace

const std::vector<NamedPrimitive>& named_primitives() {
  return kPrimitives;
}

void run_primitive(const NamedPrimitive& primitive, const uint64_t* a, const uint64_t* b, const uint64_t* c,
                   uint64_t* out) {
  cuda::launch(primitive.name, primitive_kernel, 1, kThreads, 0, 0, primitive.function, a, b, c, out);
}

void run_b1_mma(int bits, const uint32_t* a, const uint32_t* b, const int32_t* c, int32_t* d, bool wrong_lane) {
  const auto kernel = bits == 256 ? b1_mma_kernel<256> : b1_mma_kernel<128>;
  cuda::launch("b1_mma", kernel, 1, cuda::kLanes, 0, 0, a, b, c, d, wrong_lane);
}

}  // namespace fasthash::emulation

// SPDX-License-Identifier: Apache-2.0
// Scores of a query against a few rows of documents, written once over a type of sixteen floats: a level may name one
// of its own, V::Floats, with the members of PlainFloats, which the others get.
#pragma once

#include "kernels.h"

namespace fasthash::cpu {
namespace {

struct Half {
  uint16_t bits;
};
struct Bfloat {
  uint16_t bits;
};

inline float widened(int8_t x) {
  return x;
}
inline float widened(float x) {
  return x;
}
inline float widened(double x) {
  return static_cast<float>(x);
}
inline float widened(Bfloat x) {
  const uint32_t bits = uint32_t{x.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Four floats in the registers that SSE2 and NEON have.
typedef float FourFloats __attribute__((vector_size(16)));
typedef int32_t FourInts __attribute__((vector_size(16)));

typedef uint16_t FourHalves __attribute__((vector_size(8)));

// No float in between is subnormal: many processors take their time with those.
inline FourFloats widened(FourHalves x) {
  const FourInts wide = __builtin_convertvector(x, FourInts);
  const FourInts magnitude = (wide & 0x7FFF) << 13, sign = (wide & 0x8000) << 16;
  const FourInts unbounded = magnitude >= 0x0F800000, subnormal = magnitude < 0x00800000;
  const FourInts normal = magnitude + (112 << 23) + (unbounded & 112 << 23);
  const FourFloats least = reinterpret_cast<FourFloats>(FourInts{} + (113 << 23));
  const FourFloats small = reinterpret_cast<FourFloats>(magnitude + (113 << 23)) - least;
  const FourInts chosen = (subnormal & reinterpret_cast<FourInts>(small)) | (~subnormal & normal);
  return reinterpret_cast<FourFloats>(chosen | sign);
}

// The end of the sum: four partial sums to one.
inline float close(FourFloats x) {
  return (x[0] + x[2]) + (x[1] + x[3]);
}

struct PlainFloats {
  FourFloats part[4];

  static PlainFloats zero() { return {}; }
  static PlainFloats load(const float* from) {
    PlainFloats x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  template <class T>
  static PlainFloats load(const T* from) {
    float x[16];
    for (int i = 0; i < 16; ++i) x[i] = widened(from[i]);
    return load(x);
  }
  static PlainFloats load(const Half* from) {
    PlainFloats x;
    for (int i = 0; i < 4; ++i) {
      FourHalves part;
      std::memcpy(&part, from + 4 * i, sizeof part);
      x.part[i] = widened(part);
    }
    return x;
  }
  // x with the sign turned over where the bit is set: bit 0 is the first.
  static PlainFloats flip(const PlainFloats& x, uint32_t bits) {
    PlainFloats result;
    for (int i = 0; i < 4; ++i) {
      const FourInts one = {1 << 4 * i, 2 << 4 * i, 4 << 4 * i, 8 << 4 * i};
      const FourInts set = (one & static_cast<int32_t>(bits)) == one;
      result.part[i] = reinterpret_cast<FourFloats>(reinterpret_cast<FourInts>(x.part[i]) ^ (set & INT32_MIN));
    }
    return result;
  }
  void add(const PlainFloats& x) {
    for (int i = 0; i < 4; ++i) part[i] += x.part[i];
  }
  void add_product(const PlainFloats& x, const PlainFloats& y) {
    for (int i = 0; i < 4; ++i) part[i] += x.part[i] * y.part[i];
  }
  float total() const { return close((part[0] + part[2]) + (part[1] + part[3])); }
};

template <class V>
struct FloatsOf {
  using Type = PlainFloats;
};
template <class V>
  requires requires { typename V::Floats; }
struct FloatsOf<V> {
  using Type = typename V::Floats;
};

template <class Floats>
void sign_scores(const float* query, const uint8_t* const* rows, int64_t bytes, float* scores) {
  Floats sums[kScoreRows];
  for (auto& sum : sums) sum = Floats::zero();
  int64_t i = 0;
  for (; i + 2 <= bytes; i += 2) {
    const Floats part = Floats::load(query + 8 * i);
    for (int r = 0; r < kScoreRows; ++r) sums[r].add(Floats::flip(part, load_as<uint16_t>(rows[r] + i)));
  }
  if (i < bytes) {
    const Floats part = Floats::load(query + 8 * i);
    for (int r = 0; r < kScoreRows; ++r) sums[r].add(Floats::flip(part, rows[r][i]));
  }
  for (int r = 0; r < kScoreRows; ++r) scores[r] = sums[r].total();
}

template <class Floats, class T>
void dot_scores(const float* query, const uint8_t* const* rows, int64_t dim, float* scores) {
  Floats sums[kScoreRows];
  for (auto& sum : sums) sum = Floats::zero();
  int64_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    const Floats part = Floats::load(query + i);
    for (int r = 0; r < kScoreRows; ++r) {
      sums[r].add_product(part, Floats::load(reinterpret_cast<const T*>(rows[r]) + i));
    }
  }
  if (i < dim) {
    const Floats part = Floats::load(query + i);
    for (int r = 0; r < kScoreRows; ++r) {
      T tail[16] = {};
      std::memcpy(tail, rows[r] + i * static_cast<int64_t>(sizeof(T)), static_cast<size_t>(dim - i) * sizeof(T));
      sums[r].add_product(part, Floats::load(tail));
    }
  }
  for (int r = 0; r < kScoreRows; ++r) scores[r] = sums[r].total();
}

template <class V>
void score_rows(const float* query, const uint8_t* const* rows, Values values, int64_t dim, float* scores) {
  using Floats = typename FloatsOf<V>::Type;
  switch (values) {
    case Values::kSigns:
      return sign_scores<Floats>(query, rows, (dim + 7) / 8, scores);
    case Values::kInt8:
      return dot_scores<Floats, int8_t>(query, rows, dim, scores);
    case Values::kFloat16:
      return dot_scores<Floats, Half>(query, rows, dim, scores);
    case Values::kBfloat16:
      return dot_scores<Floats, Bfloat>(query, rows, dim, scores);
    case Values::kFloat32:
      return dot_scores<Floats, float>(query, rows, dim, scores);
    case Values::kFloat64:
      return dot_scores<Floats, double>(query, rows, dim, scores);
  }
}

}  // namespace
}  // namespace fasthash::cpu

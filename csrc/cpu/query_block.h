// SPDX-License-Identifier: Apache-2.0
// What scans and matrices share: several queries meet a few codes at once, written over a vector type as in kernels.h.
// On top of what that asks for, V says
//   Word, Lane    unsigned and signed integers of a lane: 64 bits, or 32 for codes of up to four bytes
//   kExact        whether partial counts are whole lanes already, so that any number may be summed
//   queries_at_once(words)   how many queries share a look at a code; with kWide lanes each, at most 64 pairs
#pragma once

#include "kernels.h"

namespace fasthash::cpu {
namespace {

// Q queries in registers, with their words where W, the words of a code, is known at compile time (else W = 0).
template <class V, class Op, int Q, int W>
struct QueryBlock {
  using Type = typename V::Type;
  using Word = typename V::Word;

  QueryBlock(const Word* queries, int words) : queries(queries), words(W != 0 ? W : words) {
    for (int q = 0; q < Q; ++q) {
      bias[q] = V::broadcast(0);
      for (int w = 0; w < W; ++w) held[q][w] = V::broadcast(queries[q * W + w]);
    }
  }

  // The threshold is 0 before this is called.
  void read_thresholds(const Selection* selections) {
    for (int q = 0; q < Q; ++q) {
      threshold[q] = selections[q].threshold;
      bias[q] = V::broadcast(static_cast<Word>(-threshold[q]));
    }
  }

  // sum[q] = count - threshold, lane by lane, so that a code below the threshold is a negative lane.
  __attribute__((always_inline)) void sums(const Block& block, int64_t position, Type* sum) const {
    const auto* codes = reinterpret_cast<const Word*>(block.groups);
    const Word* group = W == 1 ? codes + position : codes + position / kLanes * words * kLanes + position % kLanes;
    for (int q = 0; q < Q; ++q) sum[q] = bias[q];
    if constexpr (V::kExact) {
      count(group, 0, W != 0 ? W : words, sum);
    } else {
      for (int w = 0; w < (W != 0 ? W : words); w += kMostWordsOfPartial) {
        Type partial[Q];
        for (int q = 0; q < Q; ++q) partial[q] = V::zero();
        const int left = (W != 0 ? W : words) - w;
        count(group, w, left < kMostWordsOfPartial ? w + left : w + kMostWordsOfPartial, partial);
        for (int q = 0; q < Q; ++q) sum[q] = V::add(sum[q], V::finish(partial[q]));
      }
    }
  }

  __attribute__((always_inline)) void count(const Word* group, int w, int end, Type* sum) const {
#pragma GCC unroll 4
    for (; w < end; ++w) {
      const Type code = V::load(group + w * kLanes);
      for (int q = 0; q < Q; ++q) {
        const Type query = W != 0 ? held[q][W != 0 ? w : 0] : V::broadcast(queries[q * words + w]);
        sum[q] = V::add_partial(sum[q], V::partial(Op::template apply<V>(code, query)));
      }
    }
  }

  const Word* queries;
  int words;
  int64_t threshold[Q];
  Type bias[Q];
  Type held[Q][W != 0 ? W : 1];
};

}  // namespace
}  // namespace fasthash::cpu

// SPDX-License-Identifier: Apache-2.0
// The scan of a block, written once over a vector type: codes below a query's threshold are appended to its selection.
#pragma once

#include "query_block.h"

namespace fasthash::cpu {
namespace {

// Takes a code that lay below the query's threshold when the query block was made. True when that threshold was
// lowered.
inline bool append(Selection& selection, int64_t distance, int64_t index) {
  if (index == selection.exclude || distance >= selection.threshold) return false;
  const int64_t threshold = selection.threshold;
  if (selection.size == selection.capacity) {
    selection.make_room(&selection);
    if (distance >= selection.threshold) return true;
  }
  selection.keys[selection.size++] = static_cast<uint64_t>(distance) << 48 | static_cast<uint64_t>(index);
  return selection.threshold != threshold;
}

// Takes the codes among Q * V::kWide sums that are hits, and has the query block know of lowered thresholds.
template <class V, int Q, int W>
void take(const typename V::Type* sum, const Block& block, int64_t position, QueryBlock<V, Xor, Q, W>& held,
          Selection* selections) {
  static_assert(Q * V::kWide <= 64);
  typename V::Lane below[Q * V::kWide];
  uint64_t hits = 0;
  for (int q = 0; q < Q; ++q) {
    V::store(sum[q], below + q * V::kWide);
    hits |= uint64_t{V::negative(sum[q])} << q * V::kWide;
  }
  bool lowered = false;
  for (; hits != 0; hits &= hits - 1) {
    const int hit = __builtin_ctzll(hits);
    const int64_t place = position + hit % V::kWide;
    if (place >= block.codes) continue;  // padding
    const int64_t index = block.indices != nullptr ? block.indices[place] : block.first + place;
    lowered |= append(selections[hit / V::kWide], below[hit] + held.threshold[hit / V::kWide], index);
  }
  if (lowered) held.read_thresholds(selections);
}

// One OR of sign bits tells whether any of Q * V::kWide pairs is a hit. Hits come at random, so that a branch on them
// is a guess, and a wrong guess of the processor costs more than a second look at a short code. There a first pass only
// notes the places, without a branch, and a second counts them again; with long codes the branch is the smaller cost.
template <class V, int Q, int W>
void scan_queries(const typename V::Word* queries, const Block& block, int words, Selection* selections) {
  constexpr bool kShort = W != 0;
  QueryBlock<V, Xor, Q, W> held(queries, words);
  held.read_thresholds(selections);
  uint16_t places[kShort ? kMostCodes / V::kWide : 1];
  int count = 0;
  typename V::Type sum[Q];
  for (int64_t position = 0; position < block.codes; position += V::kWide) {
    held.sums(block, position, sum);
    typename V::Type any = sum[0];
    for (int q = 1; q < Q; ++q) any = V::bit_or(any, sum[q]);
    if constexpr (kShort) {
      places[count] = static_cast<uint16_t>(position);
      count += V::negative(any) != 0;
    } else if (V::negative(any) != 0) {
      take(sum, block, position, held, selections);
    }
  }
  for (int i = 0; i < count; ++i) {
    held.sums(block, places[i], sum);
    take(sum, block, places[i], held, selections);
  }
}

// A slice of what comes after the block, for each batch of queries: a block is read in one burst, which the processor's
// own prefetch does not see coming. Inlined by order: GCC takes a function that only prefetches for one without effect.
__attribute__((always_inline)) inline void prefetch_next(const Block& block, int done, int next, int count) {
  const int64_t begin = block.next_bytes * done / count, end = block.next_bytes * next / count;
  for (int64_t byte = begin; byte < end; byte += 64) __builtin_prefetch(block.next + byte, 0, 2);
}

// Q at a time, what is left by halves.
template <class V, int W, int Q>
void scan_words(const typename V::Word* queries, int count, const Block& block, int words, Selection* selections,
                int done = 0) {
  for (; done + Q <= count; done += Q) {
    prefetch_next(block, done, done + Q, count);
    scan_queries<V, Q, W>(queries + done * words, block, words, selections + done);
  }
  if constexpr (Q > 1) scan_words<V, W, Q / 2>(queries, count, block, words, selections, done);
}

template <class V>
void scan(const uint64_t* queries, int count, const Block& block, int words, Selection* selections) {
  switch (words) {
    case 1:
      return scan_words<V, 1, V::queries_at_once(1)>(queries, count, block, words, selections);
    case 2:
      return scan_words<V, 2, V::queries_at_once(2)>(queries, count, block, words, selections);
    case 3:
      return scan_words<V, 3, V::queries_at_once(3)>(queries, count, block, words, selections);
    case 4:
      return scan_words<V, 4, V::queries_at_once(4)>(queries, count, block, words, selections);
    default:
      return scan_words<V, 0, V::queries_at_once(0)>(queries, count, block, words, selections);
  }
}

template <class V>
void scan_narrow(const uint32_t* queries, int count, const Block& block, Selection* selections) {
  scan_words<V, 1, V::queries_at_once(1)>(queries, count, block, 1, selections);
}

}  // namespace
}  // namespace fasthash::cpu

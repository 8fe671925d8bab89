// The scan of a block, written once over a vector type as in kernels.h: codes below a query's threshold are appended to
// its selection. On top of what kernels.h asks for, V says
//   Word, Lane    unsigned and signed integers of a lane: 64 bits, or 32 for codes of up to four bytes
//   kExact        whether partial counts are whole lanes already, so that any number may be summed
//   queries_at_once(words)   how many queries share a look at a code; with kWide lanes each, at most 64 pairs
#pragma once

#include "kernels.h"

namespace fasthash::cpu {
namespace {

// Q queries in registers, with their words where W, the words of a code, is known at compile time (else W = 0).
template <class V, int Q, int W>
struct QueryBlock {
  using Type = typename V::Type;
  using Word = typename V::Word;

  QueryBlock(const Word* queries, int words, const Selection* selections)
      : queries(queries), words(W != 0 ? W : words) {
    for (int q = 0; q < Q; ++q) {
      for (int w = 0; w < W; ++w) held[q][w] = V::broadcast(queries[q * W + w]);
    }
    read_thresholds(selections);
  }

  void read_thresholds(const Selection* selections) {
    for (int q = 0; q < Q; ++q) {
      threshold[q] = selections[q].threshold;
      bias[q] = V::broadcast(static_cast<Word>(-threshold[q]));
    }
  }

  // sum[q] = distance - threshold, lane by lane, so that a code to take is a negative lane.
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
        sum[q] = V::add_partial(sum[q], V::partial(V::bit_xor(code, query)));
      }
    }
  }

  const Word* queries;
  int words;
  int64_t threshold[Q];
  Type bias[Q];
  Type held[Q][W != 0 ? W : 1];
};

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
void take(const typename V::Type* sum, const Block& block, int64_t position, QueryBlock<V, Q, W>& held,
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
  QueryBlock<V, Q, W> held(queries, words, selections);
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
// own prefetch does not see coming.
inline void prefetch_next(const Block& block, int done, int next, int count) {
  const int64_t begin = block.next_bytes * done / count, end = block.next_bytes * next / count;
  for (int64_t byte = begin; byte < end; byte += 64) __builtin_prefetch(block.next + byte, 0, 2);
}

template <class V, int W>
void scan_words(const typename V::Word* queries, int count, const Block& block, int words, Selection* selections) {
  constexpr int kQueries = V::queries_at_once(W);
  int q = 0;
  for (; q + kQueries <= count; q += kQueries) {
    prefetch_next(block, q, q + kQueries, count);
    scan_queries<V, kQueries, W>(queries + q * words, block, words, selections + q);
  }
  for (; q < count; ++q) {
    prefetch_next(block, q, q + 1, count);
    scan_queries<V, 1, W>(queries + q * words, block, words, selections + q);
  }
}

template <class V>
void scan(const uint64_t* queries, int count, const Block& block, int words, Selection* selections) {
  switch (words) {
    case 1:
      return scan_words<V, 1>(queries, count, block, words, selections);
    case 2:
      return scan_words<V, 2>(queries, count, block, words, selections);
    case 3:
      return scan_words<V, 3>(queries, count, block, words, selections);
    case 4:
      return scan_words<V, 4>(queries, count, block, words, selections);
    default:
      return scan_words<V, 0>(queries, count, block, words, selections);
  }
}

template <class V>
void scan_narrow(const uint32_t* queries, int count, const Block& block, Selection* selections) {
  scan_words<V, 1>(queries, count, block, 1, selections);
}

}  // namespace
}  // namespace fasthash::cpu

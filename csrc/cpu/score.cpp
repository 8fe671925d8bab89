// SPDX-License-Identifier: Apache-2.0
#include "fasthash/score.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cfenv>
#include <tuple>
#include <utility>
#include <vector>

#include "dispatch.h"
#include "threads.h"

namespace fasthash::cpu {
namespace {

constexpr int64_t kElementsATask = 1 << 19;  // some tens of microseconds
constexpr int64_t kScoresATask = 1 << 13;
constexpr int64_t kLineBytes = 64;
constexpr int64_t kLinesAhead = 128;     // asked for before they are met,
constexpr int64_t kMostLinesOfRow = 32;  // of a long row its beginning: from there the processor sees for itself
constexpr int64_t kMostRowsAhead = 32;

constexpr int64_t kBytes[kValues] = {0, 1, 2, 2, 4, 8};  // of an element; signs are counted in bits

int64_t row_bytes(const Documents& documents, int64_t dim) {
  return documents.values == Values::kSigns ? (dim + 7) / 8 : dim * kBytes[static_cast<int>(documents.values)];
}

// Float arithmetic as the standard has it while this lives: a caller's thread may have been told to flush subnormal
// numbers (torch.set_flush_denormal), the workers have not.
class StandardFloats {
 public:
  StandardFloats() {
    std::fegetenv(&callers_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~StandardFloats() { std::fesetenv(&callers_); }
  StandardFloats(const StandardFloats&) = delete;
  StandardFloats& operator=(const StandardFloats&) = delete;

 private:
  std::fenv_t callers_;
};

// The query as the levels want it.
void prepare(const float* query, int64_t dim, Values values, std::vector<float>& prepared) {
  if (values == Values::kSigns) {
    for (int64_t i = 0; i < dim; ++i) prepared[static_cast<size_t>(i ^ 7)] = -query[i];
  } else {
    std::copy_n(query, dim, prepared.begin());
  }
}

// The candidates begin..end of one query, a few rows at a time. Rows lie anywhere in memory, so those to come are asked
// for ahead.
class Scorer {
 public:
  Scorer(const Level& level, const Rescoring& rescoring, const Documents& documents)
      : level_(level), rescoring_(rescoring), documents_(documents), bytes_(row_bytes(documents, rescoring.dim)) {
    const int64_t lines = std::min(bytes_ / kLineBytes + 1, kMostLinesOfRow);
    ahead_ = std::clamp<int64_t>(kLinesAhead / lines, kScoreRows, kMostRowsAhead);
    prepared_.resize(static_cast<size_t>((rescoring.dim + 15) / 16 * 16), 0.0f);
    if (documents.values == Values::kSigns && rescoring.dim % 8 != 0) {
      spare_ = static_cast<uint8_t>(0xFF >> rescoring.dim % 8);
    }
  }

  void score(int64_t query, int64_t begin, int64_t end, float* scores) {
    prepare(rescoring_.queries + query * rescoring_.dim, rescoring_.dim, documents_.values, prepared_);
    const int64_t* candidates = rescoring_.candidates + query * rescoring_.count;
    scores += query * rescoring_.count;
    for (int64_t i = begin; i < std::min(end, begin + ahead_); ++i) prefetch(candidates[i]);
    const uint8_t* rows[kScoreRows];
    int64_t places[kScoreRows];
    int held = 0;
    for (int64_t i = begin; i < end; ++i) {
      if (i + ahead_ < end) prefetch(candidates[i + ahead_]);
      if (!is_row(candidates[i])) {
        if (candidates[i] != -1) seen_ |= kNoRow;
        scores[i] = kNoScore;
        continue;
      }
      rows[held] = row(candidates[i]);
      places[held++] = i;
      if (held == kScoreRows) write(rows, places, std::exchange(held, 0), candidates, scores);
    }
    if (held > 0) write(rows, places, held, candidates, scores);
  }

  int seen() const { return seen_; }

 private:
  bool is_row(int64_t candidate) const { return candidate >= 0 && candidate < documents_.rows; }
  const uint8_t* row(int64_t candidate) const {
    return static_cast<const uint8_t*>(documents_.data) + candidate * documents_.row_stride;
  }
  // GCC takes a function that only prefetches for one without effect, and drops its calls unless they are inlined
  // first.
  __attribute__((always_inline)) void prefetch(int64_t candidate) const {
    if (!is_row(candidate)) return;
    const uint8_t* begin = row(candidate);
    const uint8_t* last = begin + std::min(bytes_, kMostLinesOfRow * kLineBytes) - 1;
    for (const uint8_t* line = begin; line < last; line += kLineBytes) __builtin_prefetch(line);
    __builtin_prefetch(last);  // rows need not begin with a line
    if (documents_.scale != nullptr) __builtin_prefetch(documents_.scale + candidate);
  }
  void write(const uint8_t** rows, const int64_t* places, int held, const int64_t* candidates, float* scores) {
    for (int r = held; r < kScoreRows; ++r) rows[r] = rows[0];
    float sums[kScoreRows];
    level_.score_rows(prepared_.data(), rows, documents_.values, rescoring_.dim, sums);
    for (int r = 0; r < held; ++r) {
      if ((rows[r][bytes_ - 1] & spare_) != 0) seen_ |= kSpareBits;
      const int64_t place = places[r];
      scores[place] = documents_.scale != nullptr ? sums[r] * documents_.scale[candidates[place]] : sums[r];
    }
  }

  const Level& level_;
  const Rescoring& rescoring_;
  const Documents& documents_;
  int64_t bytes_, ahead_;
  uint8_t spare_ = 0;
  int seen_ = 0;
  std::vector<float> prepared_;
};

}  // namespace

int rescore(const Rescoring& rescoring, const Documents& documents, float* scores, int threads) {
  if (rescoring.rows == 0 || rescoring.count == 0) return 0;
  const Level& chosen = level();
  // Tasks are parts of one query's candidates, or several queries.
  const int64_t most = std::max<int64_t>(kScoreRows, kElementsATask / rescoring.dim);
  const int64_t parts = (rescoring.count + most - 1) / most;
  const int64_t step = (rescoring.count + parts - 1) / parts;
  const int64_t batch = std::max<int64_t>(1, most / rescoring.count);
  std::atomic<int> seen{0};
  parallel_for((rescoring.rows + batch - 1) / batch * parts, threads, [&](int64_t task) {
    const StandardFloats standard;
    Scorer scorer(chosen, rescoring, documents);
    const int64_t first = task / parts * batch, begin = task % parts * step;
    for (int64_t query = first; query < std::min(rescoring.rows, first + batch); ++query) {
      scorer.score(query, begin, std::min(rescoring.count, begin + step), scores);
    }
    seen |= scorer.seen();
  });
  return seen;
}

namespace {

// A score as an integer that counts up from the best: 0 and -0 are one, NaN is minus infinity, none comes last.
uint32_t rank_of(float score, int64_t candidate) {
  constexpr uint32_t kInfinity = 0x7F800000, kSign = 0x80000000;
  if (candidate < 0) return UINT32_MAX;
  auto bits = std::bit_cast<uint32_t>(score);
  if ((bits & ~kSign) == 0) bits = 0;
  if ((bits & ~kSign) > kInfinity) bits = kSign | kInfinity;
  return (bits & kSign) != 0 ? bits : ~kSign - bits;
}

struct Scored {
  uint32_t rank;
  int64_t candidate;
  int64_t place;

  bool operator<(const Scored& other) const {
    return std::tie(rank, candidate, place) < std::tie(other.rank, other.candidate, other.place);
  }
};

}  // namespace

void score_order(const float* scores, const int64_t* candidates, int64_t rows, int64_t count, int64_t k, int64_t* order,
                 int threads) {
  const int64_t batch = std::max<int64_t>(1, kScoresATask / std::max<int64_t>(count, 1));
  parallel_for((rows + batch - 1) / batch, threads, [&](int64_t task) {
    std::vector<Scored> scored(static_cast<size_t>(count));
    for (int64_t row = task * batch; row < std::min(rows, (task + 1) * batch); ++row) {
      for (int64_t i = 0; i < count; ++i) {
        const int64_t candidate = candidates[row * count + i];
        scored[static_cast<size_t>(i)] = {rank_of(scores[row * count + i], candidate), candidate, i};
      }
      if (k < count) std::nth_element(scored.begin(), scored.begin() + k, scored.end());
      std::sort(scored.begin(), scored.begin() + k);
      for (int64_t i = 0; i < k; ++i) order[row * k + i] = scored[static_cast<size_t>(i)].place;
    }
  });
}

}  // namespace fasthash::cpu

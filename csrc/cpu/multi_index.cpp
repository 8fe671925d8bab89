// SPDX-License-Identifier: Apache-2.0
#include "fasthash/multi_index.h"

#include <string_view>

#include "memory.h"
#include "multi_index_walk.h"
#include "threads.h"

namespace fasthash::cpu {
namespace {

constexpr int kLeastWidth = 8;  // bits of a part, however few the rows
constexpr int kMostWidth = 28;  // so that its starts take a GiB at most
constexpr int64_t kTried = 4;   // queries of each thread that show whether to try the others

// What a scan costs, in nanoseconds of a thread, measured like the costs of a step: a byte of codes, a code that does
// not lie as the kernels want it, and a pair of query and code (`pair_cost`).
constexpr double kByteCost = 0.04;
constexpr double kCopyCost = 0.3;
constexpr double kMakingCost = 30;  // of a row in a table

double pair_cost(std::string_view level, int64_t bytes) {
  const double narrow = bytes <= kNarrowBytes ? 0.5 : 1.0;
  if (level == "avx512") return 0.05 * narrow;
  return (level == "scalar" ? 0.8 : 0.15) * narrow;
}

// Of each part: about as many values as rows. With fewer parts there are fewer steps, but most values have no row.
std::vector<int> part_widths(int64_t rows, int64_t bits) {
  const int fitting = std::clamp<int>(std::bit_width(static_cast<uint64_t>(rows)), kLeastWidth, kMostWidth);
  const int64_t parts = (bits + fitting - 1) / fitting;
  std::vector<int> widths;
  for (int64_t j = 0; j < parts; ++j) widths.push_back(static_cast<int>(bits / parts + (j < bits % parts)));
  return widths;
}

double binomial(int n, int64_t k) {
  double result = 1;
  for (int64_t i = 0; i < k; ++i) result = result * static_cast<double>(n - i) / static_cast<double>(i + 1);
  return result;
}

// Some queries of a call, one after another.
class Gathered {
 public:
  Gathered(Codes queries, Filter filter, const std::vector<int64_t>& chosen) : bytes_(queries.bytes), filter_(filter) {
    for (const int64_t i : chosen) {
      rows_.insert(rows_.end(), queries.data + i * queries.bytes, queries.data + (i + 1) * queries.bytes);
      exclude_.push_back(excluded(filter, i));
    }
  }
  Codes codes() const { return {rows_.data(), static_cast<int64_t>(exclude_.size()), bytes_}; }
  Filter filter() const { return {filter_.mask, filter_.exclude != nullptr ? exclude_.data() : nullptr}; }

 private:
  int64_t bytes_;
  Filter filter_;
  std::vector<uint8_t> rows_;
  std::vector<int64_t> exclude_;
};

double cost_of_step(int64_t rows, int width, int64_t flips) {
  const double of_value = static_cast<double>(rows) / static_cast<double>(int64_t{1} << width);
  return binomial(width, flips) * (kValueCost + of_value * kRowCost);
}

class Found final : public RangeResult {
 public:
  explicit Found(int64_t queries) : keys_(static_cast<size_t>(queries)) {}

  // Of a query, in order.
  std::vector<uint64_t>& keys(int64_t query) { return keys_[static_cast<size_t>(query)]; }

  // What a scan found for some of the queries, which have no keys.
  void add(std::vector<int64_t> scanned, std::unique_ptr<RangeResult> of_scan) {
    scanned_ = std::move(scanned);
    of_scan_ = std::move(of_scan);
  }

  void counts(int64_t* counts) const override {
    std::transform(keys_.begin(), keys_.end(), counts,
                   [](const auto& keys) { return static_cast<int64_t>(keys.size()); });
    if (of_scan_ == nullptr) return;
    std::vector<int64_t> own(scanned_.size());
    of_scan_->counts(own.data());
    for (size_t i = 0; i < own.size(); ++i) counts[scanned_[i]] = own[i];
  }
  void write(const int64_t* offsets, int32_t* distances, int64_t* indices, int threads) const override {
    if (of_scan_ != nullptr) {
      std::vector<int64_t> own;
      for (const int64_t query : scanned_) own.push_back(offsets[query]);
      own.push_back(offsets[scanned_.back() + 1]);
      of_scan_->write(own.data(), distances, indices, threads);
    }
    parallel_for(static_cast<int64_t>(keys_.size()), threads, [&](int64_t i) {
      int64_t at = offsets[i];
      for (const uint64_t key : keys_[static_cast<size_t>(i)]) {
        if (at == offsets[i + 1]) break;
        distances[at] = static_cast<int32_t>(distance_of(key));
        indices[at++] = index_of(key);
      }
    });
  }

 private:
  std::vector<std::vector<uint64_t>> keys_;
  std::vector<int64_t> scanned_;
  std::unique_ptr<RangeResult> of_scan_;
};

}  // namespace

double scan_cost(int64_t queries, int64_t rows, int64_t bytes, int threads) {
  const double copy = bytes == kNarrowBytes || bytes % 8 == 0 ? 0 : kCopyCost;
  const double of_code =
      copy + static_cast<double>(bytes) * kByteCost + static_cast<double>(queries) * pair_cost(level().name, bytes);
  return static_cast<double>(rows) * of_code / threads;
}

std::vector<double> walk_costs(int64_t rows, int64_t bits) {
  const std::vector<int> widths = part_widths(rows, bits);
  const auto parts = static_cast<int64_t>(widths.size());
  std::vector<double> costs;
  double sum = 0;
  for (int64_t radius = 0; radius <= bits; ++radius) {
    sum += cost_of_step(rows, widths[static_cast<size_t>(radius % parts)], radius / parts);
    costs.push_back(sum);
  }
  return costs;
}

double making_cost(int64_t rows, int64_t bits, int threads) {
  const auto parts = static_cast<int64_t>(part_widths(rows, bits).size());
  return kMakingCost * static_cast<double>(rows) * static_cast<double>((parts + threads - 1) / threads);
}

int64_t tables_bytes(int64_t rows, int64_t bits) {
  const std::vector<int> widths = part_widths(rows, bits);
  int64_t result = 0;
  for (const int width : widths) result += 4 * (rows * (widths.size() > 1 ? 2 : 1) + (int64_t{1} << width) + 1);
  return result;
}

MultiIndex::MultiIndex(Codes database, int64_t bits, int threads) : rows_(database.rows), bits_(bits) {
  int first = 0;
  for (const int width : part_widths(rows_, bits)) {
    parts_.push_back({first, width, nullptr, nullptr, nullptr});
    first += width;
  }
  parallel_for(static_cast<int64_t>(parts_.size()), threads,
               [&](int64_t j) { fill(database, parts_[static_cast<size_t>(j)]); });
}

void MultiIndex::fill(Codes database, Part& part) const {
  const Level& chosen = level();
  const auto values = int64_t{1} << part.width;
  const auto rows = static_cast<size_t>(rows_);
  part.rows = std::make_unique_for_overwrite<uint32_t[]>(rows);
  part.starts = std::make_unique_for_overwrite<uint32_t[]>(static_cast<size_t>(values + 1));
  expect_large(part.rows.get(), 4 * rows_);
  expect_large(part.starts.get(), 4 * (values + 1));
  if (parts_.size() > 1) {
    part.rest = std::make_unique_for_overwrite<uint32_t[]>(rows + kPadding);
    expect_large(part.rest.get(), 4 * rows_);
    std::fill_n(&part.rest[rows], kPadding, 0);
  }
  uint32_t* starts = part.starts.get();
  std::fill_n(starts, values + 1, 0);
  std::vector<uint64_t> words(kMostCodes);
  const auto each = [&](auto&& visit) {
    for (int64_t begin = 0; begin < rows_; begin += kMostCodes) {
      const int64_t count = std::min<int64_t>(kMostCodes, rows_ - begin);
      interleave(chosen, database, nullptr, begin, count, words.data());
      for (int64_t i = 0; i < count; ++i) visit(begin + i, value(words[static_cast<size_t>(i)]));
    }
  };
  each([&](int64_t, uint64_t code) { ++starts[part.own(code)]; });
  uint32_t place = 0;
  for (int64_t v = 0; v < values; ++v) place += std::exchange(starts[v], place);
  each([&](int64_t row, uint64_t code) {
    const uint32_t at = starts[part.own(code)]++;
    part.rows[at] = static_cast<uint32_t>(row);
    if (part.rest != nullptr) part.rest[at] = part.others(code);
  });
  std::memmove(starts + 1, starts, static_cast<size_t>(values) * sizeof *starts);
  starts[0] = 0;
}

double MultiIndex::step_cost(int64_t radius) const {
  const auto parts = static_cast<int64_t>(parts_.size());
  return cost_of_step(rows_, parts_[static_cast<size_t>(radius % parts)].width, radius / parts);
}

// search(i, budget) tells whether it came to an end. The queries for which it did not, in order. All together, with the
// scan that is due for those without an end, may cost what a scan for all costs, and each what one for itself costs;
// where the first ones show that this will not do, the others are not tried.
template <class Search>
std::vector<int64_t> MultiIndex::try_each(int64_t queries, double patience, int threads, const Search& search) const {
  const int64_t rows = std::max<int64_t>(rows_, 1);
  const auto scan = [&](int64_t count) {
    if (count == 0) return 0.0;
    const auto shared = static_cast<double>(std::min<int64_t>(queries, threads));
    return std::min(1e18, patience * scan_cost(count, rows, code_bytes(), threads) * shared);
  };
  const double all = scan(queries);
  Budget budget{patience * scan_cost(1, rows, code_bytes(), threads), static_cast<int64_t>(all)};
  std::atomic<int64_t> failed = 0;
  std::vector<uint8_t> ended(static_cast<size_t>(queries), 0);
  const auto try_one = [&](int64_t i) {
    ended[static_cast<size_t>(i)] = search(i, budget);
    if (ended[static_cast<size_t>(i)] != 0) return;
    const int64_t count = ++failed;
    budget.left -= static_cast<int64_t>(scan(count) - scan(count - 1));
  };
  const int64_t tried = std::min(queries, kTried * threads);
  parallel_for(tried, threads, try_one);
  const double walks = all - static_cast<double>(budget.left) - scan(failed);
  const double times = static_cast<double>(queries) / static_cast<double>(std::max<int64_t>(tried, 1));
  const auto failing = static_cast<int64_t>(static_cast<double>(failed) * times);
  if (2 * failed <= tried && !(walks * times + scan(failing) > all)) {
    parallel_for(queries - tried, threads, [&](int64_t i) { try_one(tried + i); });
  }
  std::vector<int64_t> left;
  for (int64_t i = 0; i < queries; ++i) {
    if (ended[static_cast<size_t>(i)] == 0) left.push_back(i);
  }
  return left;
}

int64_t MultiIndex::topk(Codes queries, Codes database, int64_t k, Filter filter, double patience, int32_t* distances,
                         int64_t* indices, int threads) const {
  const Level& chosen = level();
  const std::vector<uint64_t> words = query_words(queries, 0, queries.rows);
  // With one part, the rows of a value are equal codes, and the nearest of them are the first.
  const int64_t most_of_value = parts_.size() == 1 && filter.mask == nullptr ? k + 1 : rows_;
  const auto scanned = try_each(queries.rows, patience, threads, [&](int64_t i, Budget& budget) {
    const uint64_t word = words[static_cast<size_t>(i)];
    const WalkQuery query{word, value(word), filter.mask, excluded(filter, i)};
    Nearest nearest(k, code_bytes());
    if (!Walk(*this, database, chosen, query, budget, most_of_value).run(bits_, nearest)) return false;
    nearest.write(distances + i * k, indices + i * k);
    return true;
  });
  if (scanned.empty()) return 0;
  const Gathered some(queries, filter, scanned);
  std::vector<int32_t> own_distances(scanned.size() * static_cast<size_t>(k));
  std::vector<int64_t> own_indices(own_distances.size());
  hamming_topk(some.codes(), database, k, some.filter(), own_distances.data(), own_indices.data(), threads);
  for (size_t i = 0; i < scanned.size(); ++i) {
    std::copy_n(&own_distances[i * static_cast<size_t>(k)], k, distances + scanned[i] * k);
    std::copy_n(&own_indices[i * static_cast<size_t>(k)], k, indices + scanned[i] * k);
  }
  return static_cast<int64_t>(scanned.size());
}

std::pair<std::unique_ptr<RangeResult>, int64_t> MultiIndex::range(Codes queries, Codes database, int64_t radius,
                                                                   Filter filter, double patience, int threads) const {
  radius = std::min(radius, 8 * code_bytes());
  const int64_t last_step = std::min(radius, bits_);
  if (queries.rows > 0) {
    const double cost = walk_costs(rows_, bits_)[static_cast<size_t>(last_step)];
    const double shared = static_cast<double>((queries.rows + threads - 1) / threads);
    if (cost * shared > patience * scan_cost(queries.rows, rows_, code_bytes(), threads)) {
      return {hamming_range(queries, database, radius, filter, threads), queries.rows};
    }
  }
  const Level& chosen = level();
  const std::vector<uint64_t> words = query_words(queries, 0, queries.rows);
  auto found = std::make_unique<Found>(queries.rows);
  auto scanned = try_each(queries.rows, patience, threads, [&](int64_t i, Budget& budget) {
    const uint64_t word = words[static_cast<size_t>(i)];
    const WalkQuery query{word, value(word), filter.mask, excluded(filter, i)};
    Within within(radius);
    if (!Walk(*this, database, chosen, query, budget, rows_).run(last_step, within)) return false;
    std::sort(within.keys.begin(), within.keys.end());
    found->keys(i) = std::move(within.keys);
    return true;
  });
  if (scanned.empty()) return {std::move(found), 0};
  if (2 * scanned.size() > static_cast<size_t>(queries.rows)) {
    return {hamming_range(queries, database, radius, filter, threads), queries.rows};
  }
  const Gathered some(queries, filter, scanned);
  const auto count = static_cast<int64_t>(scanned.size());
  auto of_scan = hamming_range(some.codes(), database, radius, some.filter(), threads);
  found->add(std::move(scanned), std::move(of_scan));
  return {std::move(found), count};
}

}  // namespace fasthash::cpu

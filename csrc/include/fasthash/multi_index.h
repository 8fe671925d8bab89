// SPDX-License-Identifier: Apache-2.0
// Exact search in less than a scan: multi-index hashing, for codes of up to 64 bits and few queries.
//
// A code is cut into m parts of consecutive bits, and each part has a table of the rows by its value. A search grows a
// radius r from 0 on. Step r visits the rows whose part r mod m differs from the query's in exactly r div m bits, and
// compares them in full. After it all codes within the radius r are known: let r = m b + a with 0 <= a < m. The steps
// so far have visited what differs in at most b bits in one of the parts 0 .. a, or in at most b - 1 bits in one of the
// others. A code that none of them visited differs in (a + 1) (b + 1) + (m - a - 1) b = r + 1 bits at least.
// So the k nearest, ties included, are final as soon as k known codes lie within the radius.
//
// M. Norouzi, A. Punjani, D. J. Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", IEEE TPAMI 36
// (6), 2014.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "fasthash/select.h"
#include "fasthash/types.h"

namespace fasthash::cpu {

// Memory of the tables.
int64_t tables_bytes(int64_t rows, int64_t bits);

class MultiIndex {
 public:
  static constexpr int64_t kMostBits = 64;
  static constexpr int64_t kMostRows = 0xFFFFFFFF;
  static constexpr int kPadding = 8;  // numbers behind the rest of a part, which may be read

  // The rows by the value of some bits: those of value v stand at rows[starts[v]] to rows[starts[v + 1]], in order.
  // Beside each up to 32 of its other bits, which mostly show that it is too far away without a look at the code; null
  // where there are no others.
  struct Part {
    int first;  // bit, from the lowest of a value
    int width;
    std::unique_ptr<uint32_t[]> starts, rows, rest;

    uint64_t own(uint64_t value) const { return value >> first & ((uint64_t{1} << width) - 1); }
    uint32_t others(uint64_t value) const {
      return static_cast<uint32_t>(value >> first >> width << first | (value & ((uint64_t{1} << first) - 1)));
    }
  };

  // database: of `bits` bits a code, with zero spare bits. Not kept: each search is given it again.
  MultiIndex(Codes database, int64_t bits, int threads);

  int64_t rows() const { return rows_; }
  int64_t code_bytes() const { return (bits_ + 7) / 8; }
  const std::vector<Part>& parts() const { return parts_; }
  int64_t bytes() const { return tables_bytes(rows_, bits_); }
  // A code, loaded as a word, as a number whose highest bit is the first.
  uint64_t value(uint64_t word) const { return __builtin_bswap64(word) >> (64 - bits_); }
  double step_cost(int64_t radius) const;

  // As hamming_topk. A query whose next step would bring its cost above `patience` times its share of a scan is scanned
  // for, together with all others of that kind; returns how many those are.
  int64_t topk(Codes queries, Codes database, int64_t k, Filter filter, double patience, int32_t* distances,
               int64_t* indices, int threads) const;
  // As hamming_range, and how many queries were scanned for.
  std::pair<std::unique_ptr<RangeResult>, int64_t> range(Codes queries, Codes database, int64_t radius, Filter filter,
                                                         double patience, int threads) const;

 private:
  void fill(Codes database, Part& part) const;
  template <class Search>
  std::vector<int64_t> try_each(int64_t queries, double patience, int threads, const Search& search) const;

  int64_t rows_, bits_;
  std::vector<Part> parts_;
};

// Estimates in nanoseconds, from sizes and the level alone.
// Of a scan, from its begin to its end.
double scan_cost(int64_t queries, int64_t rows, int64_t bytes, int threads);
// Of making the tables.
double making_cost(int64_t rows, int64_t bits, int threads);
// Of the steps of one query up to each radius 0 .. bits, in a thread, where codes are spread evenly.
std::vector<double> walk_costs(int64_t rows, int64_t bits);

}  // namespace fasthash::cpu

// SPDX-License-Identifier: Apache-2.0
// The second check of what Python has checked, at the border of the module: a wrong size here would be a memory error.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "fasthash/score.h"

namespace fasthash {

using Address = uintptr_t;  // of the caller's memory, 0 = null

template <class T>
T* pointer(Address address) {
  return reinterpret_cast<T*>(address);
}

// What a search is about.
struct Sides {
  Codes queries;
  Codes database;
  Filter filter;
};

// Each throws std::invalid_argument (ValueError) with the op, the argument, what was expected and what came.
class Check {
 public:
  explicit Check(const char* op) : op_(op) {}

  void at_least(const char* name, int64_t value, int64_t least) const {
    if (value < least) refuse(name, "at least " + std::to_string(least), std::to_string(value));
  }
  void range(const char* name, int64_t value, int64_t least, int64_t most) const {
    if (value >= least && value <= most) return;
    refuse(name, std::to_string(least) + " to " + std::to_string(most), std::to_string(value));
  }
  void address(const char* name, Address address, bool needed) const {
    if (needed && address == 0) refuse(name, "an address", "null");
  }
  void threads(int threads) const { at_least("threads", threads, 1); }
  void element(int width) const {
    if (width != 1 && width != 2 && width != 4 && width != 8) refuse("width", "1, 2, 4 or 8", std::to_string(width));
  }
  void workspace(Address workspace, int64_t got, int64_t needed) const {
    address("workspace", workspace, needed > 0);
    if (workspace % 16 != 0) refuse("workspace", "an address divisible by 16", std::to_string(workspace));
    at_least("workspace_bytes", got, needed);
  }
  Codes codes(const char* name, Address data, int64_t rows, int64_t bytes) const {
    if (rows < 0) refuse(std::string(name) + " rows", "at least 0", std::to_string(rows));
    if (bytes < 1 || bytes > kMaxBytes) {
      refuse(std::string(name) + " bytes", "1 to " + std::to_string(kMaxBytes), std::to_string(bytes));
    }
    address(name, data, rows > 0);
    return {pointer<const uint8_t>(data), rows, bytes};
  }
  void same_width(const Codes& a, const Codes& b) const {
    if (a.bytes == b.bytes) return;
    refuse("bytes", "codes of one width", std::to_string(a.bytes) + " and " + std::to_string(b.bytes));
  }
  Sides sides(Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
              int64_t database_bytes, Address mask, Address exclude) const {
    const Sides sides{codes("queries", queries, query_rows, query_bytes),
                      codes("database", database, database_rows, database_bytes),
                      {pointer<const uint8_t>(mask), pointer<const int64_t>(exclude)}};
    same_width(sides.queries, sides.database);
    return sides;
  }
  Labels labels(const Sides& sides, Address query_ids, Address database_ids, Address query_sets, Address database_sets,
                int64_t set_bytes) const {
    at_least("set_bytes", set_bytes, 0);
    const bool ids = query_ids != 0 || database_ids != 0;
    const bool sets = !ids && set_bytes > 0;
    address("query_ids", query_ids, ids && sides.queries.rows > 0);
    address("database_ids", database_ids, ids && sides.database.rows > 0);
    address("query_sets", query_sets, sets && sides.queries.rows > 0);
    address("database_sets", database_sets, sets && sides.database.rows > 0);
    return {pointer<const int64_t>(query_ids), pointer<const int64_t>(database_ids), pointer<const uint8_t>(query_sets),
            pointer<const uint8_t>(database_sets), set_bytes};
  }
  Rescoring rescoring(Address queries, int64_t rows, int64_t dim, Address candidates, int64_t count) const {
    at_least("query_rows", rows, 0);
    at_least("dim", dim, 1);
    at_least("count", count, 0);
    address("queries", queries, rows > 0);
    address("candidates", candidates, rows > 0 && count > 0);
    return {pointer<const float>(queries), rows, dim, pointer<const int64_t>(candidates), count};
  }
  Documents documents(Address data, int values, int64_t rows, int64_t row_stride, Address scale) const {
    if (values < 0 || values >= kValues) refuse("values", "0 to 5", std::to_string(values));
    at_least("document_rows", rows, 0);
    at_least("row_stride", row_stride, 0);
    address("documents", data, rows > 0);
    return {pointer<const void>(data), static_cast<Values>(values), rows, row_stride, pointer<const float>(scale)};
  }
  // So that every overlap has a bin: no set has bits beyond its classes, and class ids share one label at most.
  void classes(const Labels& labels, int64_t classes) const {
    const int64_t least = labels.set_bytes == 0 ? 1 : 8 * labels.set_bytes - 7;
    const int64_t most = labels.set_bytes == 0 ? 1 : 8 * labels.set_bytes;
    if (classes >= least && classes <= most) return;
    refuse("classes", std::to_string(least) + " to " + std::to_string(most), std::to_string(classes));
  }

 private:
  [[noreturn]] void refuse(const std::string& name, const std::string& expected, const std::string& got) const {
    throw std::invalid_argument(std::string(op_) + ": " + name + ": expected " + expected + ", got " + got);
  }

  const char* op_;
};

}  // namespace fasthash

// SPDX-License-Identifier: Apache-2.0
// fasthash._C: thin functions on addresses and sizes. What is right for an array is checked in Python
// (fasthash/ops); sizes are checked again here, because a wrong one is a memory error, not an exception.
#include <pybind11/pybind11.h>

#include "check.h"
#include "cpu/dispatch.h"
#include "fasthash/count.h"
#include "fasthash/distance.h"
#include "fasthash/multi_index.h"
#include "fasthash/pack.h"
#include "fasthash/score.h"
#include "fasthash/select.h"

#if defined(FASTHASH_WITH_CUDA)
#include "bind_cuda.h"
#endif

namespace py = pybind11;
using namespace pybind11::literals;

namespace fasthash {
namespace {

using NoGil = py::call_guard<py::gil_scoped_release>;

py::dict build_info() {
  py::list names;
  for (const auto* level : cpu::levels()) names.append(level->name);
  py::dict info;
  info["version"] = FASTHASH_VERSION;
#if defined(__clang__)
  info["compiler"] = "clang " __clang_version__;
#else
  info["compiler"] = "gcc " __VERSION__;
#endif
  info["cpu_levels"] = names;
  info["cuda"] = FASTHASH_CUDA_STATUS;
  info["cuda_architectures"] = FASTHASH_CUDA_ARCHS;
  return info;
}

}  // namespace

PYBIND11_MODULE(_C, m, py::mod_gil_not_used()) {
  m.doc() = "Hamming kernels on raw addresses; use the ops of fasthash instead.";
  m.def("build_info", build_info);
  m.def("cpu_levels", [] {
    py::list names;
    for (const auto* level : cpu::levels()) names.append(level->name);
    return names;
  });
  m.def("set_cpu_level", &cpu::set_level, "name"_a);
  m.def("cpu_level", [] { return std::string(cpu::level().name); });
  // The level that served the last call: its name and what its source was compiled for.
  m.def("last_cpu_level", [] {
    const auto* level = cpu::last_level();
    const std::string none;
    return std::make_pair(level ? level->name : none, level ? level->compiled_for : none);
  });

  m.def(
      "pack",
      [](Address x, int width, int64_t limit, int64_t rows, int64_t bits, int64_t row_stride, Address codes,
         int threads) {
        const Check check("pack");
        check.element(width);
        check.at_least("rows", rows, 0);
        check.at_least("bits", bits, 1);
        check.at_least("row_stride", row_stride, 0);
        check.address("x", x, rows > 0);
        check.address("codes", codes, rows > 0);
        check.threads(threads);
        cpu::pack(pointer<const void>(x), {width, limit}, rows, bits, row_stride, pointer<uint8_t>(codes), threads);
      },
      "x"_a, "width"_a, "limit"_a, "rows"_a, "bits"_a, "row_stride"_a, "codes"_a, "threads"_a, NoGil());
  m.def(
      "unpack",
      [](Address codes, int64_t rows, int64_t bits, Address out, int threads) {
        const Check check("unpack");
        check.at_least("rows", rows, 0);
        check.at_least("bits", bits, 1);
        check.address("codes", codes, rows > 0);
        check.address("out", out, rows > 0);
        check.threads(threads);
        cpu::unpack(pointer<const uint8_t>(codes), rows, bits, pointer<float>(out), threads);
      },
      "codes"_a, "rows"_a, "bits"_a, "out"_a, "threads"_a, NoGil());

  const auto matrix = [&m](const char* op, void (*kernel)(Codes, Codes, int32_t*, int)) {
    m.def(
        op,
        [op, kernel](Address a, int64_t a_rows, int64_t a_bytes, Address b, int64_t b_rows, int64_t b_bytes,
                     Address out, int threads) {
          const Check check(op);
          const Codes left = check.codes("a", a, a_rows, a_bytes);
          const Codes right = check.codes("b", b, b_rows, b_bytes);
          check.same_width(left, right);
          check.address("out", out, a_rows > 0 && b_rows > 0);
          check.threads(threads);
          kernel(left, right, pointer<int32_t>(out), threads);
        },
        "a"_a, "a_rows"_a, "a_bytes"_a, "b"_a, "b_rows"_a, "b_bytes"_a, "out"_a, "threads"_a, NoGil());
  };
  matrix("hamming_distance", &cpu::hamming_distance);
  matrix("label_overlap", &cpu::label_overlap);

  m.def(
      "hamming_topk",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, int64_t k, Address mask, Address exclude, Address distances, Address indices,
         int threads) {
        const Check check("hamming_topk");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        check.at_least("k", k, 1);
        check.address("distances", distances, query_rows > 0);
        check.address("indices", indices, query_rows > 0);
        check.threads(threads);
        cpu::hamming_topk(s.queries, s.database, k, s.filter, pointer<int32_t>(distances), pointer<int64_t>(indices),
                          threads);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "k"_a,
      "mask"_a, "exclude"_a, "distances"_a, "indices"_a, "threads"_a, NoGil());

  py::class_<cpu::RangeResult>(m, "RangeResult")
      .def(
          "counts", [](const cpu::RangeResult& self, Address counts) { self.counts(pointer<int64_t>(counts)); },
          "counts"_a)
      .def(
          "write",
          [](const cpu::RangeResult& self, Address offsets, Address distances, Address indices, int threads) {
            const Check check("hamming_range");
            check.address("offsets", offsets, true);
            check.threads(threads);
            self.write(pointer<const int64_t>(offsets), pointer<int32_t>(distances), pointer<int64_t>(indices),
                       threads);
          },
          "offsets"_a, "distances"_a, "indices"_a, "threads"_a, NoGil());
  m.def(
      "hamming_range",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, int64_t radius, Address mask, Address exclude, int threads) {
        const Check check("hamming_range");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        check.at_least("radius", radius, 0);
        check.threads(threads);
        return cpu::hamming_range(s.queries, s.database, radius, s.filter, threads);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "radius"_a,
      "mask"_a, "exclude"_a, "threads"_a, NoGil());
  m.def(
      "hamming_range_padded",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, int64_t radius, int64_t capacity, Address mask, Address exclude, Address counts,
         Address distances, Address indices, int threads) {
        const Check check("hamming_range_padded");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        check.at_least("radius", radius, 0);
        check.at_least("capacity", capacity, 1);
        check.address("counts", counts, query_rows > 0);
        check.address("distances", distances, query_rows > 0);
        check.address("indices", indices, query_rows > 0);
        check.threads(threads);
        cpu::hamming_range_padded(s.queries, s.database, radius, capacity, s.filter, pointer<int64_t>(counts),
                                  pointer<int32_t>(distances), pointer<int64_t>(indices), threads);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "radius"_a,
      "capacity"_a, "mask"_a, "exclude"_a, "counts"_a, "distances"_a, "indices"_a, "threads"_a, NoGil());

  m.def(
      "scan_cost",
      [](int64_t queries, int64_t rows, int64_t bytes, int threads) {
        Check("scan_cost").threads(threads);
        return cpu::scan_cost(queries, rows, bytes, threads);
      },
      "queries"_a, "rows"_a, "bytes"_a, "threads"_a);
  m.def(
      "making_cost",
      [](int64_t rows, int64_t bits, int threads) {
        const Check check("making_cost");
        check.range("rows", rows, 0, cpu::MultiIndex::kMostRows);
        check.range("bits", bits, 1, cpu::MultiIndex::kMostBits);
        check.threads(threads);
        return cpu::making_cost(rows, bits, threads);
      },
      "rows"_a, "bits"_a, "threads"_a);
  m.def(
      "tables_bytes",
      [](int64_t rows, int64_t bits) {
        const Check check("tables_bytes");
        check.range("rows", rows, 0, cpu::MultiIndex::kMostRows);
        check.range("bits", bits, 1, cpu::MultiIndex::kMostBits);
        return cpu::tables_bytes(rows, bits);
      },
      "rows"_a, "bits"_a);
  m.def(
      "walk_costs",
      [](int64_t rows, int64_t bits) {
        const Check check("walk_costs");
        check.range("rows", rows, 0, cpu::MultiIndex::kMostRows);
        check.range("bits", bits, 1, cpu::MultiIndex::kMostBits);
        py::list costs;
        for (const double cost : cpu::walk_costs(rows, bits)) costs.append(cost);
        return costs;
      },
      "rows"_a, "bits"_a);
  py::class_<cpu::MultiIndex>(m, "MultiIndex")
      .def(py::init([](Address database, int64_t database_rows, int64_t database_bytes, int64_t bits, int threads) {
             const Check check("MultiIndex");
             const Codes codes = check.codes("database", database, database_rows, database_bytes);
             check.range("database rows", database_rows, 0, cpu::MultiIndex::kMostRows);
             check.range("bits", bits, 1, cpu::MultiIndex::kMostBits);
             check.range("database bytes", database_bytes, (bits + 7) / 8, (bits + 7) / 8);
             check.threads(threads);
             const py::gil_scoped_release release;  // not NoGil, for the object is registered before that would end
             return std::make_unique<cpu::MultiIndex>(codes, bits, threads);
           }),
           "database"_a, "database_rows"_a, "database_bytes"_a, "bits"_a, "threads"_a)
      .def("bytes", &cpu::MultiIndex::bytes)
      .def("parts", [](const cpu::MultiIndex& self) { return self.parts().size(); })
      .def(
          "topk",
          [](const cpu::MultiIndex& self, Address queries, int64_t query_rows, int64_t query_bytes, Address database,
             int64_t database_rows, int64_t database_bytes, int64_t k, Address mask, double patience, Address distances,
             Address indices, int threads) {
            const Check check("MultiIndex.topk");
            const Sides s =
                check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, 0);
            check.range("database rows", database_rows, self.rows(), self.rows());
            check.range("database bytes", database_bytes, self.code_bytes(), self.code_bytes());
            check.at_least("k", k, 1);
            check.address("distances", distances, query_rows > 0);
            check.address("indices", indices, query_rows > 0);
            check.threads(threads);
            return self.topk(s.queries, s.database, k, s.filter, patience, pointer<int32_t>(distances),
                             pointer<int64_t>(indices), threads);
          },
          "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "k"_a,
          "mask"_a, "patience"_a, "distances"_a, "indices"_a, "threads"_a, NoGil())
      .def(
          "range",
          [](const cpu::MultiIndex& self, Address queries, int64_t query_rows, int64_t query_bytes, Address database,
             int64_t database_rows, int64_t database_bytes, int64_t radius, Address mask, double patience,
             int threads) {
            const Check check("MultiIndex.range");
            const Sides s =
                check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, 0);
            check.range("database rows", database_rows, self.rows(), self.rows());
            check.range("database bytes", database_bytes, self.code_bytes(), self.code_bytes());
            check.at_least("radius", radius, 0);
            check.threads(threads);
            return self.range(s.queries, s.database, radius, s.filter, patience, threads);
          },
          "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "radius"_a,
          "mask"_a, "patience"_a, "threads"_a, NoGil());

  m.def(
      "hamming_histogram",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, Address mask, Address exclude, Address out, int threads) {
        const Check check("hamming_histogram");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        check.address("out", out, query_rows > 0);
        check.threads(threads);
        cpu::hamming_histogram(s.queries, s.database, s.filter, pointer<int64_t>(out), threads);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "mask"_a,
      "exclude"_a, "out"_a, "threads"_a, NoGil());
  m.def(
      "relevance_histogram",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, Address query_ids, Address database_ids, Address query_sets, Address database_sets,
         int64_t set_bytes, Address mask, Address exclude, Address out, int threads) {
        const Check check("relevance_histogram");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        const Labels labels = check.labels(s, query_ids, database_ids, query_sets, database_sets, set_bytes);
        check.address("out", out, query_rows > 0);
        check.threads(threads);
        cpu::relevance_histogram(s.queries, s.database, labels, s.filter, pointer<int64_t>(out), threads);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "query_ids"_a,
      "database_ids"_a, "query_sets"_a, "database_sets"_a, "set_bytes"_a, "mask"_a, "exclude"_a, "out"_a, "threads"_a,
      NoGil());
  m.def(
      "overlap_histogram",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, Address query_ids, Address database_ids, Address query_sets, Address database_sets,
         int64_t set_bytes, int64_t classes, Address mask, Address exclude, Address out, int threads) {
        const Check check("overlap_histogram");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        const Labels labels = check.labels(s, query_ids, database_ids, query_sets, database_sets, set_bytes);
        check.classes(labels, classes);
        check.address("out", out, query_rows > 0);
        check.threads(threads);
        cpu::overlap_histogram(s.queries, s.database, labels, classes, s.filter, pointer<int64_t>(out), threads);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "query_ids"_a,
      "database_ids"_a, "query_sets"_a, "database_sets"_a, "set_bytes"_a, "classes"_a, "mask"_a, "exclude"_a, "out"_a,
      "threads"_a, NoGil());
  m.def(
      "average_precision_counts",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, Address query_ids, Address database_ids, Address query_sets, Address database_sets,
         int64_t set_bytes, Address mask, Address exclude, int64_t window, Address precision_sum, Address hits,
         Address relevant, int threads) {
        const Check check("average_precision_counts");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        const Labels labels = check.labels(s, query_ids, database_ids, query_sets, database_sets, set_bytes);
        check.at_least("window", window, 0);
        check.address("precision_sum", precision_sum, query_rows > 0);
        check.address("hits", hits, query_rows > 0);
        check.address("relevant", relevant, query_rows > 0);
        check.threads(threads);
        cpu::average_precision_counts(s.queries, s.database, labels, s.filter, window, pointer<double>(precision_sum),
                                      pointer<int64_t>(hits), pointer<int64_t>(relevant), threads);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "query_ids"_a,
      "database_ids"_a, "query_sets"_a, "database_sets"_a, "set_bytes"_a, "mask"_a, "exclude"_a, "window"_a,
      "precision_sum"_a, "hits"_a, "relevant"_a, "threads"_a, NoGil());

  m.def(
      "rescore",
      [](Address queries, int64_t query_rows, int64_t dim, Address documents, int values, int64_t document_rows,
         int64_t row_stride, Address scale, Address candidates, int64_t count, Address scores, int threads) {
        const Check check("rescore");
        const Rescoring rescoring = check.rescoring(queries, query_rows, dim, candidates, count);
        const Documents table = check.documents(documents, values, document_rows, row_stride, scale);
        check.address("scores", scores, query_rows > 0 && count > 0);
        check.threads(threads);
        return cpu::rescore(rescoring, table, pointer<float>(scores), threads);
      },
      "queries"_a, "query_rows"_a, "dim"_a, "documents"_a, "values"_a, "document_rows"_a, "row_stride"_a, "scale"_a,
      "candidates"_a, "count"_a, "scores"_a, "threads"_a, NoGil());
  m.def(
      "score_order",
      [](Address scores, Address candidates, int64_t rows, int64_t count, int64_t k, Address order, int threads) {
        const Check check("score_order");
        check.at_least("rows", rows, 0);
        check.at_least("k", k, 0);
        check.at_least("count", count, k);
        check.address("scores", scores, rows > 0 && count > 0);
        check.address("candidates", candidates, rows > 0 && count > 0);
        check.address("order", order, rows > 0 && k > 0);
        check.threads(threads);
        cpu::score_order(pointer<const float>(scores), pointer<const int64_t>(candidates), rows, count, k,
                         pointer<int64_t>(order), threads);
      },
      "scores"_a, "candidates"_a, "rows"_a, "count"_a, "k"_a, "order"_a, "threads"_a, NoGil());

#if defined(FASTHASH_WITH_CUDA)
  auto cuda_module = m.def_submodule("cuda", "The same functions on device addresses.");
  bind_cuda(cuda_module);
#endif
}

}  // namespace fasthash

// fasthash._C: thin functions on addresses and sizes. What is right for an array is checked in Python
// (fasthash/ops); sizes are checked again here, because a wrong one is a memory error, not an exception.
#include <pybind11/pybind11.h>

#include "cpu/dispatch.h"
#include "fasthash/count.h"
#include "fasthash/distance.h"
#include "fasthash/pack.h"
#include "fasthash/select.h"

#if defined(FASTHASH_WITH_CUDA)
#include "bind_cuda.h"
#endif

namespace py = pybind11;
using namespace pybind11::literals;

namespace fasthash {
namespace {

using Address = uintptr_t;
using NoGil = py::call_guard<py::gil_scoped_release>;

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

void expect(bool fine, const char* what) {
  if (!fine) throw std::invalid_argument(std::string("fasthash._C: expected ") + what);
}

Codes codes(Address data, int64_t rows, int64_t bytes) {
  expect(rows >= 0 && bytes >= 1 && bytes <= kMaxBytes, "rows >= 0 and 1..8191 bytes a code");
  expect(rows == 0 || data != 0, "an address for codes");
  return {at<const uint8_t>(data), rows, bytes};
}

// The two sides of a search.
struct Sides {
  Codes queries, database;
  Filter filter;
};

Sides sides(Address queries, int64_t q, int64_t query_bytes, Address database, int64_t m, int64_t bytes, Address mask,
            Address exclude, int threads) {
  expect(threads >= 1, "threads >= 1");
  expect(query_bytes == bytes, "one width of queries and database");
  return {codes(queries, q, bytes), codes(database, m, bytes), {at<const uint8_t>(mask), at<const int64_t>(exclude)}};
}

Labels labels(Address query_ids, Address database_ids, Address query_sets, Address database_sets, int64_t set_bytes) {
  expect(set_bytes >= 0 && set_bytes <= kMaxBytes, "0..8191 bytes a label set");
  return {at<const int64_t>(query_ids), at<const int64_t>(database_ids), at<const uint8_t>(query_sets),
          at<const uint8_t>(database_sets), set_bytes};
}

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
      [](Address x, int width, int64_t limit, int64_t rows, int64_t bits, int64_t row_stride, Address out,
         int threads) {
        expect(width == 1 || width == 2 || width == 4 || width == 8, "elements of 1, 2, 4 or 8 bytes");
        expect(rows >= 0 && bits >= 1 && threads >= 1, "rows >= 0, bits >= 1, threads >= 1");
        cpu::pack(at<const void>(x), {width, limit}, rows, bits, row_stride, at<uint8_t>(out), threads);
      },
      "x"_a, "width"_a, "limit"_a, "rows"_a, "bits"_a, "row_stride"_a, "codes"_a, "threads"_a, NoGil());
  m.def(
      "unpack",
      [](Address in, int64_t rows, int64_t bits, Address out, int threads) {
        expect(rows >= 0 && bits >= 1 && threads >= 1, "rows >= 0, bits >= 1, threads >= 1");
        cpu::unpack(at<const uint8_t>(in), rows, bits, at<float>(out), threads);
      },
      "codes"_a, "rows"_a, "bits"_a, "out"_a, "threads"_a, NoGil());

  const auto matrix = [&m](const char* name, void (*kernel)(Codes, Codes, int32_t*, int)) {
    m.def(
        name,
        [kernel](Address a, int64_t n, int64_t a_bytes, Address b, int64_t rows, int64_t bytes, Address out,
                 int threads) {
          expect(threads >= 1, "threads >= 1");
          expect(a_bytes == bytes, "one width of a and b");
          kernel(codes(a, n, bytes), codes(b, rows, bytes), at<int32_t>(out), threads);
        },
        "a"_a, "n"_a, "a_bytes"_a, "b"_a, "m"_a, "bytes"_a, "out"_a, "threads"_a, NoGil());
  };
  matrix("hamming_distance", &cpu::hamming_distance);
  matrix("label_overlap", &cpu::label_overlap);

  m.def(
      "hamming_topk",
      [](Address queries, int64_t q, int64_t query_bytes, Address database, int64_t rows, int64_t bytes, int64_t k,
         Address mask, Address exclude, Address distances, Address indices, int threads) {
        expect(k >= 1, "k >= 1");
        const Sides s = sides(queries, q, query_bytes, database, rows, bytes, mask, exclude, threads);
        cpu::hamming_topk(s.queries, s.database, k, s.filter, at<int32_t>(distances), at<int64_t>(indices), threads);
      },
      "queries"_a, "q"_a, "query_bytes"_a, "database"_a, "m"_a, "bytes"_a, "k"_a, "mask"_a, "exclude"_a, "distances"_a,
      "indices"_a, "threads"_a, NoGil());

  py::class_<cpu::RangeResult>(m, "RangeResult")
      .def(
          "counts", [](const cpu::RangeResult& self, Address out) { self.counts(at<int64_t>(out)); }, "counts"_a)
      .def(
          "write",
          [](const cpu::RangeResult& self, Address offsets, Address distances, Address indices, int threads) {
            expect(threads >= 1, "threads >= 1");
            self.write(at<const int64_t>(offsets), at<int32_t>(distances), at<int64_t>(indices), threads);
          },
          "offsets"_a, "distances"_a, "indices"_a, "threads"_a, NoGil());
  m.def(
      "hamming_range",
      [](Address queries, int64_t q, int64_t query_bytes, Address database, int64_t rows, int64_t bytes, int64_t radius,
         Address mask, Address exclude, int threads) {
        expect(radius >= 0, "radius >= 0");
        const Sides s = sides(queries, q, query_bytes, database, rows, bytes, mask, exclude, threads);
        return cpu::hamming_range(s.queries, s.database, radius, s.filter, threads);
      },
      "queries"_a, "q"_a, "query_bytes"_a, "database"_a, "m"_a, "bytes"_a, "radius"_a, "mask"_a, "exclude"_a,
      "threads"_a, NoGil());

  m.def(
      "hamming_histogram",
      [](Address queries, int64_t q, int64_t query_bytes, Address database, int64_t rows, int64_t bytes, Address mask,
         Address exclude, Address out, int threads) {
        const Sides s = sides(queries, q, query_bytes, database, rows, bytes, mask, exclude, threads);
        cpu::hamming_histogram(s.queries, s.database, s.filter, at<int64_t>(out), threads);
      },
      "queries"_a, "q"_a, "query_bytes"_a, "database"_a, "m"_a, "bytes"_a, "mask"_a, "exclude"_a, "out"_a, "threads"_a,
      NoGil());
  m.def(
      "relevance_histogram",
      [](Address queries, int64_t q, int64_t query_bytes, Address database, int64_t rows, int64_t bytes,
         Address query_ids, Address database_ids, Address query_sets, Address database_sets, int64_t set_bytes,
         Address mask, Address exclude, Address out, int threads) {
        const Sides s = sides(queries, q, query_bytes, database, rows, bytes, mask, exclude, threads);
        cpu::relevance_histogram(s.queries, s.database,
                                 labels(query_ids, database_ids, query_sets, database_sets, set_bytes), s.filter,
                                 at<int64_t>(out), threads);
      },
      "queries"_a, "q"_a, "query_bytes"_a, "database"_a, "m"_a, "bytes"_a, "query_ids"_a, "database_ids"_a,
      "query_sets"_a, "database_sets"_a, "set_bytes"_a, "mask"_a, "exclude"_a, "out"_a, "threads"_a, NoGil());
  m.def(
      "average_precision_counts",
      [](Address queries, int64_t q, int64_t query_bytes, Address database, int64_t rows, int64_t bytes,
         Address query_ids, Address database_ids, Address query_sets, Address database_sets, int64_t set_bytes,
         Address mask, Address exclude, int64_t window, Address precision_sum, Address hits, Address relevant,
         int threads) {
        expect(window >= 0, "window >= 0");
        const Sides s = sides(queries, q, query_bytes, database, rows, bytes, mask, exclude, threads);
        cpu::average_precision_counts(
            s.queries, s.database, labels(query_ids, database_ids, query_sets, database_sets, set_bytes), s.filter,
            window, at<double>(precision_sum), at<int64_t>(hits), at<int64_t>(relevant), threads);
      },
      "queries"_a, "q"_a, "query_bytes"_a, "database"_a, "m"_a, "bytes"_a, "query_ids"_a, "database_ids"_a,
      "query_sets"_a, "database_sets"_a, "set_bytes"_a, "mask"_a, "exclude"_a, "window"_a, "precision_sum"_a, "hits"_a,
      "relevant"_a, "threads"_a, NoGil());

#if defined(FASTHASH_WITH_CUDA)
  auto cuda_module = m.def_submodule("cuda", "The same functions on device addresses.");
  bind_cuda(cuda_module);
#endif
}

}  // namespace fasthash

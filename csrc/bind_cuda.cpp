// SPDX-License-Identifier: Apache-2.0
#include "bind_cuda.h"

#include <stdexcept>
#include <string>

#ifndef FASTHASH_EMULATION
#include <cuda_runtime_api.h>
#endif

#include "check.h"
#include "fasthash/count.h"
#include "fasthash/distance.h"
#include "fasthash/pack.h"
#include "fasthash/path.h"
#include "fasthash/score.h"
#include "fasthash/select.h"

namespace py = pybind11;
using namespace pybind11::literals;

namespace fasthash {
namespace {

using NoGil = py::call_guard<py::gil_scoped_release>;

// Makes a device current for the length of a call.
class DeviceGuard {
 public:
#ifdef FASTHASH_EMULATION
  explicit DeviceGuard(int) {}
#else
  explicit DeviceGuard(int device) {
    if (device < 0) return;
    check(cudaGetDevice(&previous_));
    if (previous_ == device) {
      previous_ = -1;
    } else {
      check(cudaSetDevice(device));
    }
  }
  ~DeviceGuard() {
    if (previous_ >= 0) cudaSetDevice(previous_);
  }

 private:
  static void check(cudaError_t error) {
    if (error == cudaSuccess) return;
    cudaGetLastError();
    throw std::runtime_error(std::string("device: ") + cudaGetErrorName(error) + ", " + cudaGetErrorString(error));
  }

  int previous_ = -1;
#endif

 public:
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;
};

}  // namespace

void bind_cuda(py::module_& m) {
  m.def(
      "pack",
      [](Address x, int width, int64_t limit, int64_t rows, int64_t bits, int64_t row_stride, Address codes,
         Address stream, int device) {
        const Check check("pack");
        check.at_least("rows", rows, 0);
        check.at_least("bits", bits, 1);
        check.at_least("row_stride", row_stride, 0);
        check.address("x", x, rows > 0);
        check.address("codes", codes, rows > 0);
        const DeviceGuard guard(device);
        cuda::pack(pointer<const void>(x), {width, limit}, rows, bits, row_stride, pointer<uint8_t>(codes), stream);
      },
      "x"_a, "width"_a, "limit"_a, "rows"_a, "bits"_a, "row_stride"_a, "codes"_a, "stream"_a, "device"_a, NoGil());
  m.def(
      "unpack",
      [](Address codes, int64_t rows, int64_t bits, Address out, Address stream, int device) {
        const Check check("unpack");
        check.at_least("rows", rows, 0);
        check.at_least("bits", bits, 1);
        check.address("codes", codes, rows > 0);
        check.address("out", out, rows > 0);
        const DeviceGuard guard(device);
        cuda::unpack(pointer<const uint8_t>(codes), rows, bits, pointer<float>(out), stream);
      },
      "codes"_a, "rows"_a, "bits"_a, "out"_a, "stream"_a, "device"_a, NoGil());

  const auto matrix = [&m](const char* op, void (*kernel)(Codes, Codes, int32_t*, cuda::StreamHandle)) {
    m.def(
        op,
        [op, kernel](Address a, int64_t a_rows, int64_t a_bytes, Address b, int64_t b_rows, int64_t b_bytes,
                     Address out, Address stream, int device) {
          const Check check(op);
          const Codes left = check.codes("a", a, a_rows, a_bytes);
          const Codes right = check.codes("b", b, b_rows, b_bytes);
          check.same_width(left, right);
          check.address("out", out, a_rows > 0 && b_rows > 0);
          const DeviceGuard guard(device);
          kernel(left, right, pointer<int32_t>(out), stream);
        },
        "a"_a, "a_rows"_a, "a_bytes"_a, "b"_a, "b_rows"_a, "b_bytes"_a, "out"_a, "stream"_a, "device"_a, NoGil());
  };
  matrix("hamming_distance", &cuda::hamming_distance);
  matrix("label_overlap", &cuda::label_overlap);

  m.def("set_path", &cuda::set_path, "name"_a);
  m.def("path", [] { return cuda::name_of(cuda::path()); });
  m.def(
      "choose_path",
      [](int capability, int64_t queries, int64_t database, int64_t bytes, int64_t k) {
        return cuda::name_of(cuda::choose_path(capability, queries, database, bytes, k));
      },
      "capability"_a, "queries"_a, "database"_a, "bytes"_a, "k"_a);
  m.def(
      "topk_path",
      [](int64_t queries, int64_t database, int64_t bytes, int64_t k) {
        return cuda::name_of(cuda::topk_path(queries, database, bytes, k));
      },
      "queries"_a, "database"_a, "bytes"_a, "k"_a);
  m.def(
      "matrix_path",
      [](int64_t a_rows, int64_t b_rows, int64_t bytes) {
        return cuda::name_of(cuda::matrix_path(a_rows, b_rows, bytes));
      },
      "a_rows"_a, "b_rows"_a, "bytes"_a);
  m.def("topk_answered", &cuda::topk_answered, "queries"_a, "database"_a, "bytes"_a, "k"_a);
  m.def("topk_workspace", &cuda::topk_workspace, "queries"_a, "database"_a, "bytes"_a, "k"_a);
  m.def(
      "hamming_topk",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, int64_t k, Address mask, Address exclude, Address distances, Address indices,
         Address workspace, int64_t workspace_bytes, Address stream, int device) {
        const Check check("hamming_topk");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        check.at_least("k", k, 1);
        check.address("distances", distances, query_rows > 0);
        check.address("indices", indices, query_rows > 0);
        check.workspace(workspace, workspace_bytes, cuda::topk_workspace(query_rows, database_rows, query_bytes, k));
        const DeviceGuard guard(device);
        cuda::hamming_topk(s.queries, s.database, k, s.filter, pointer<int32_t>(distances), pointer<int64_t>(indices),
                           pointer<void>(workspace), workspace_bytes, stream);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "k"_a,
      "mask"_a, "exclude"_a, "distances"_a, "indices"_a, "workspace"_a, "workspace_bytes"_a, "stream"_a, "device"_a,
      NoGil());

  m.def("range_workspace", &cuda::range_workspace, "queries"_a, "database"_a, "bytes"_a, "radius"_a);
  m.def(
      "hamming_range_count",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, int64_t radius, Address mask, Address exclude, Address counts, Address workspace,
         int64_t workspace_bytes, Address stream, int device) {
        const Check check("hamming_range_count");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        check.at_least("radius", radius, 0);
        check.address("counts", counts, query_rows > 0);
        check.workspace(workspace, workspace_bytes,
                        cuda::range_workspace(query_rows, database_rows, query_bytes, radius));
        const DeviceGuard guard(device);
        cuda::hamming_range_count(s.queries, s.database, radius, s.filter, pointer<int64_t>(counts),
                                  pointer<void>(workspace), workspace_bytes, stream);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "radius"_a,
      "mask"_a, "exclude"_a, "counts"_a, "workspace"_a, "workspace_bytes"_a, "stream"_a, "device"_a, NoGil());
  m.def(
      "hamming_range_write",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, int64_t radius, Address mask, Address exclude, Address offsets, Address distances,
         Address indices, Address workspace, int64_t workspace_bytes, Address stream, int device) {
        const Check check("hamming_range_write");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        check.at_least("radius", radius, 0);
        check.address("offsets", offsets, query_rows > 0);  // outputs may be null: there may be nothing to write
        check.workspace(workspace, workspace_bytes,
                        cuda::range_workspace(query_rows, database_rows, query_bytes, radius));
        const DeviceGuard guard(device);
        cuda::hamming_range_write(s.queries, s.database, radius, s.filter, pointer<const int64_t>(offsets),
                                  pointer<int32_t>(distances), pointer<int64_t>(indices), pointer<void>(workspace),
                                  workspace_bytes, stream);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "radius"_a,
      "mask"_a, "exclude"_a, "offsets"_a, "distances"_a, "indices"_a, "workspace"_a, "workspace_bytes"_a, "stream"_a,
      "device"_a, NoGil());
  m.def(
      "hamming_range_padded",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, int64_t radius, int64_t capacity, Address mask, Address exclude, Address counts,
         Address distances, Address indices, Address workspace, int64_t workspace_bytes, Address stream, int device) {
        const Check check("hamming_range_padded");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        check.at_least("radius", radius, 0);
        check.at_least("capacity", capacity, 1);
        check.address("counts", counts, query_rows > 0);
        check.address("distances", distances, query_rows > 0);
        check.address("indices", indices, query_rows > 0);
        check.workspace(workspace, workspace_bytes,
                        cuda::range_workspace(query_rows, database_rows, query_bytes, radius));
        const DeviceGuard guard(device);
        cuda::hamming_range_padded(s.queries, s.database, radius, capacity, s.filter, pointer<int64_t>(counts),
                                   pointer<int32_t>(distances), pointer<int64_t>(indices), pointer<void>(workspace),
                                   workspace_bytes, stream);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "radius"_a,
      "capacity"_a, "mask"_a, "exclude"_a, "counts"_a, "distances"_a, "indices"_a, "workspace"_a, "workspace_bytes"_a,
      "stream"_a, "device"_a, NoGil());

  m.def(
      "hamming_histogram",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, Address mask, Address exclude, Address out, Address stream, int device) {
        const Check check("hamming_histogram");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        check.address("out", out, query_rows > 0);
        const DeviceGuard guard(device);
        cuda::hamming_histogram(s.queries, s.database, s.filter, pointer<int64_t>(out), stream);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "mask"_a,
      "exclude"_a, "out"_a, "stream"_a, "device"_a, NoGil());
  m.def(
      "relevance_histogram",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, Address query_ids, Address database_ids, Address query_sets, Address database_sets,
         int64_t set_bytes, Address mask, Address exclude, Address out, Address stream, int device) {
        const Check check("relevance_histogram");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        const Labels labels = check.labels(s, query_ids, database_ids, query_sets, database_sets, set_bytes);
        check.address("out", out, query_rows > 0);
        const DeviceGuard guard(device);
        cuda::relevance_histogram(s.queries, s.database, labels, s.filter, pointer<int64_t>(out), stream);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "query_ids"_a,
      "database_ids"_a, "query_sets"_a, "database_sets"_a, "set_bytes"_a, "mask"_a, "exclude"_a, "out"_a, "stream"_a,
      "device"_a, NoGil());
  m.def(
      "overlap_histogram",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, Address query_ids, Address database_ids, Address query_sets, Address database_sets,
         int64_t set_bytes, int64_t classes, Address mask, Address exclude, Address out, Address stream, int device) {
        const Check check("overlap_histogram");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        const Labels labels = check.labels(s, query_ids, database_ids, query_sets, database_sets, set_bytes);
        check.classes(labels, classes);
        check.address("out", out, query_rows > 0);
        const DeviceGuard guard(device);
        cuda::overlap_histogram(s.queries, s.database, labels, classes, s.filter, pointer<int64_t>(out), stream);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "query_ids"_a,
      "database_ids"_a, "query_sets"_a, "database_sets"_a, "set_bytes"_a, "classes"_a, "mask"_a, "exclude"_a, "out"_a,
      "stream"_a, "device"_a, NoGil());

  m.def("average_precision_workspace", &cuda::average_precision_workspace, "queries"_a, "database"_a, "bytes"_a);
  m.def(
      "average_precision_counts",
      [](Address queries, int64_t query_rows, int64_t query_bytes, Address database, int64_t database_rows,
         int64_t database_bytes, Address query_ids, Address database_ids, Address query_sets, Address database_sets,
         int64_t set_bytes, Address mask, Address exclude, int64_t window, Address precision_sum, Address hits,
         Address relevant, Address workspace, int64_t workspace_bytes, Address stream, int device) {
        const Check check("average_precision_counts");
        const Sides s =
            check.sides(queries, query_rows, query_bytes, database, database_rows, database_bytes, mask, exclude);
        const Labels labels = check.labels(s, query_ids, database_ids, query_sets, database_sets, set_bytes);
        check.at_least("window", window, 0);
        check.address("precision_sum", precision_sum, query_rows > 0);
        check.address("hits", hits, query_rows > 0);
        check.address("relevant", relevant, query_rows > 0);
        check.workspace(workspace, workspace_bytes,
                        cuda::average_precision_workspace(query_rows, database_rows, query_bytes));
        const DeviceGuard guard(device);
        cuda::average_precision_counts(s.queries, s.database, labels, s.filter, window, pointer<double>(precision_sum),
                                       pointer<int64_t>(hits), pointer<int64_t>(relevant), pointer<void>(workspace),
                                       workspace_bytes, stream);
      },
      "queries"_a, "query_rows"_a, "query_bytes"_a, "database"_a, "database_rows"_a, "database_bytes"_a, "query_ids"_a,
      "database_ids"_a, "query_sets"_a, "database_sets"_a, "set_bytes"_a, "mask"_a, "exclude"_a, "window"_a,
      "precision_sum"_a, "hits"_a, "relevant"_a, "workspace"_a, "workspace_bytes"_a, "stream"_a, "device"_a, NoGil());

  m.def(
      "rescore",
      [](Address queries, int64_t query_rows, int64_t dim, Address documents, int values, int64_t document_rows,
         int64_t row_stride, Address scale, Address candidates, int64_t count, Address scores, Address stream,
         int device) {
        const Check check("rescore");
        const Rescoring rescoring = check.rescoring(queries, query_rows, dim, candidates, count);
        const Documents table = check.documents(documents, values, document_rows, row_stride, scale);
        check.address("scores", scores, query_rows > 0 && count > 0);
        const DeviceGuard guard(device);
        cuda::rescore(rescoring, table, pointer<float>(scores), stream);
      },
      "queries"_a, "query_rows"_a, "dim"_a, "documents"_a, "values"_a, "document_rows"_a, "row_stride"_a, "scale"_a,
      "candidates"_a, "count"_a, "scores"_a, "stream"_a, "device"_a, NoGil());
}

}  // namespace fasthash

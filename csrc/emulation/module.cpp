// SPDX-License-Identifier: Apache-2.0
// fasthash._emulated: the CUDA ops on host addresses, run by the emulation. For tests only.
#include "bind_cuda.h"
#include "cuda_emulation.h"
#include "faults.h"
#include "primitives.h"
#include "select.cuh"

namespace py = pybind11;
using namespace pybind11::literals;

namespace {

// The k nearest by the two-pass form, as it follows another one: queries that are marked as answered stay as they are.
void topk_of_unanswered(uintptr_t queries, int64_t query_rows, int64_t bytes, uintptr_t database, int64_t database_rows,
                        int64_t k, uintptr_t answered, uintptr_t distances, uintptr_t indices) {
  namespace cuda = fasthash::cuda;
  const cuda::TablePlan plan = cuda::plan_topk(query_rows, database_rows, bytes);
  std::vector<int64_t> workspace((plan.workspace() + 7) / 8, -1);
  cuda::search_by_counting("topk_of_unanswered", plan, {reinterpret_cast<const uint8_t*>(queries), query_rows, bytes},
                           {reinterpret_cast<const uint8_t*>(database), database_rows, bytes}, k, {},
                           reinterpret_cast<const int32_t*>(answered), nullptr, reinterpret_cast<int32_t*>(distances),
                           reinterpret_cast<int64_t*>(indices), workspace.data(), 0);
}

}  // namespace

PYBIND11_MODULE(_emulated, m) {
  namespace emulation = fasthash::emulation;
  m.doc() = "The CUDA kernels of fasthash on the CPU, for tests.";
  m.def("set_seed", &emulation::set_seed, "seed"_a, "Order of threads and blocks from now on; 0 = by index.");
  m.def("poison", [] { return int{emulation::poison()}; }, "The byte that fills shared memory before a block.");
  m.def("set_shared_limit", &emulation::set_shared_limit, "bytes"_a, "Shared memory that a block may ask for.");
  m.def("watch", &emulation::watch, "on"_a, "Whether accesses to shared memory are watched, where CAN_WATCH.");
#ifdef FASTHASH_CAN_WATCH
  m.attr("CAN_WATCH") = true;
#else
  m.attr("CAN_WATCH") = false;
#endif
  py::register_exception<emulation::Fault>(m, "Fault", PyExc_RuntimeError);
  fasthash::bind_cuda(m);
  m.def("topk_of_unanswered", topk_of_unanswered, "queries"_a, "query_rows"_a, "bytes"_a, "database"_a,
        "database_rows"_a, "k"_a, "answered"_a, "distances"_a, "indices"_a);
  m.attr("TILE_QUERIES") = fasthash::cuda::kTileQueries;
  m.attr("MIN_PART_ROWS") = fasthash::cuda::kMinPartRows;

  auto faults = m.def_submodule("faults", "Kernels with planted faults; `out` = the address of 64 int32.");
  for (const emulation::PlantedFault& fault : emulation::planted_faults()) {
    faults.def(
        fault.name,
        [fault](uintptr_t out, bool cured) { fault.run(fault.name, reinterpret_cast<int32_t*>(out), cured); }, "out"_a,
        "cured"_a);
  }
  m.def(
      "async_groups",
      [](uintptr_t out, int pending, int count) {
        emulation::async_groups(reinterpret_cast<int32_t*>(out), pending, count);
      },
      "out"_a, "pending"_a, "count"_a);

  auto primitives = m.def_submodule("primitives", "Device functions; operands and results: addresses of 64 uint64.");
  for (const emulation::NamedPrimitive& primitive : emulation::named_primitives()) {
    primitives.def(
        primitive.name,
        [primitive](uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t out) {
          const auto words = [](uintptr_t address) { return reinterpret_cast<uint64_t*>(address); };
          emulation::run_primitive(primitive, words(a), words(b), words(c), words(out));
        },
        "a"_a, "b"_a, "c"_a, "out"_a);
  }
  m.def(
      "b1_mma",
      [](int bits, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, bool wrong_lane) {
        emulation::run_b1_mma(bits, reinterpret_cast<const uint32_t*>(a), reinterpret_cast<const uint32_t*>(b),
                              reinterpret_cast<const int32_t*>(c), reinterpret_cast<int32_t*>(d), wrong_lane);
      },
      "bits"_a, "a"_a, "b"_a, "c"_a, "d"_a, "wrong_lane"_a);
}

// fasthash._emulated: the CUDA ops on host addresses, run by the emulation. For tests only.
#include "bind_cuda.h"
#include "cuda_emulation.h"
#include "faults.h"

namespace py = pybind11;
using namespace pybind11::literals;

PYBIND11_MODULE(_emulated, m) {
  namespace emulation = fasthash::emulation;
  m.doc() = "The CUDA kernels of fasthash on the CPU, for tests.";
  m.def("set_seed", &emulation::set_seed, "seed"_a, "Order of threads and blocks from now on; 0 = by index.");
  m.attr("POISON") = emulation::kPoison;
  py::register_exception<emulation::Fault>(m, "Fault", PyExc_RuntimeError);
  fasthash::bind_cuda(m);

  auto faults = m.def_submodule("faults", "Kernels with planted faults; `out` = the address of 64 int32.");
  const auto fault = [&faults](const char* name, void (*run)(int32_t*)) {
    faults.def(name, [run](uintptr_t out) { run(reinterpret_cast<int32_t*>(out)); }, "out"_a);
  };
  const auto choice = [&faults](const char* name, void (*run)(int32_t*, bool), const char* with) {
    faults.def(
        name, [run](uintptr_t out, bool with) { run(reinterpret_cast<int32_t*>(out), with); }, "out"_a, py::arg(with));
  };
  choice("neighbour", emulation::neighbour, "with_barrier");
  choice("async_neighbour", emulation::async_neighbour, "with_wait");
  faults.def(
      "async_groups",
      [](uintptr_t out, int pending, int count) {
        emulation::async_groups(reinterpret_cast<int32_t*>(out), pending, count);
      },
      "out"_a, "pending"_a, "count"_a);
  fault("async_outside", emulation::async_outside);
  fault("divergent_barrier", emulation::divergent_barrier);
  fault("missed_barrier", emulation::missed_barrier);
  fault("exited_lane", emulation::exited_lane);
  fault("outside_lane", emulation::outside_lane);
  fault("unwritten", emulation::unwritten);
}

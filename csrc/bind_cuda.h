// SPDX-License-Identifier: Apache-2.0
// The CUDA ops as Python functions on addresses and sizes.
#pragma once

#include <pybind11/pybind11.h>

namespace fasthash {

// Defines the functions of `fasthash::cuda` in `m`, under their names. Pointers are ints (0 = null), a view expands to
// its fields, and every launching function ends with (stream, device): device < 0 = the current one.
void bind_cuda(pybind11::module_& m);

}  // namespace fasthash

// SPDX-License-Identifier: Apache-2.0
// Kernels with planted faults, which show that the emulation sees them. See faults.cu.
#pragma once

#include <cstdint>
#include <vector>

namespace fasthash::emulation {

// Writes 0, 1, .. 63 to `out` when cured.
struct PlantedFault {
  const char* name;
  void (*run)(const char* name, int32_t* out, bool cured);
};
std::vector<PlantedFault> planted_faults();

// Each of 16 threads copies its four places of `out` to shared memory in three groups, 4 bytes, then 4, then 8, of
// which `count` are read; waits for all but `pending` groups; and copies back.
void async_groups(int32_t* out, int pending, int count);

}  // namespace fasthash::emulation

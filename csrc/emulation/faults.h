// Launches of the kernels with planted faults; out has 64 places. See faults.cu.
#pragma once

#include <cstdint>

namespace fasthash::emulation {

void neighbour(int32_t* out, bool with_barrier);
void async_neighbour(int32_t* out, bool with_wait);
void async_groups(int32_t* out, int pending, int count);
void async_outside(int32_t* out);
void divergent_barrier(int32_t* out);
void missed_barrier(int32_t* out);
void exited_lane(int32_t* out);
void outside_lane(int32_t* out);
void unwritten(int32_t* out);

}  // namespace fasthash::emulation

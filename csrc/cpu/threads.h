// SPDX-License-Identifier: Apache-2.0
// Worker threads of the module. No OpenMP: torch carries a runtime of its own, and two in one process are
// trouble.
#pragma once

#include <cstdint>
#include <functional>

namespace fasthash::cpu {

// Calls body(task) for every task in 0..tasks-1 on up to `threads` threads, the caller's among them, and
// returns when all are done. The first exception of a task is thrown here. Safe to call from several threads
// at once and after fork.
void parallel_for(int64_t tasks, int threads, const std::function<void(int64_t)>& body);

}  // namespace fasthash::cpu

// SPDX-License-Identifier: Apache-2.0
#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#if defined(FASTHASH_X86)
#include <cpuid.h>
#endif

namespace fasthash::cpu {
namespace {

#if defined(FASTHASH_X86)
// Conversion of half floats; clang's builtin does not know it by name.
bool has_f16c() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

// Asked of CPUID and the operating system's state bits only (the compiler's builtin does both), never by
// trying.
std::vector<const Level*> detect() {
  std::vector<const Level*> found{&scalar_level};
#if defined(FASTHASH_X86)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") && has_f16c()) found.push_back(&avx2_level);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vpopcntdq")) {
    found.push_back(&avx512_level);
  }
#elif defined(FASTHASH_NEON)
  found.push_back(&neon_level);  // in the base of 64-bit Arm
#endif
  return found;
}

const Level* find(const std::string& name) {
  std::string known;
  for (const Level* candidate : levels()) {
    if (name == candidate->name) return candidate;
    known += known.empty() ? candidate->name : std::string(", ") + candidate->name;
  }
  throw std::invalid_argument("expected a CPU level of this machine (" + known + "), got '" + name + "'");
}

const Level* initial() {
  const char* forced = std::getenv("FASTHASH_CPU_LEVEL");
  if (forced == nullptr || *forced == '\0') return levels().back();
  try {
    return find(forced);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string("FASTHASH_CPU_LEVEL: ") + error.what());
  }
}

std::atomic<const Level*> chosen{nullptr};  // by the first call, unless set before
std::atomic<const Level*> served{nullptr};

}  // namespace

const std::vector<const Level*>& levels() {
  static const auto& found = *new std::vector<const Level*>(detect());  // outlives threads that run until the exit
  return found;
}

const Level& level() {
  const Level* current = chosen.load(std::memory_order_relaxed);
  if (current == nullptr) chosen = current = initial();
  served.store(current, std::memory_order_relaxed);
  return *current;
}

const Level* last_level() {
  return served.load(std::memory_order_relaxed);
}

void set_level(const std::string& name) {
  chosen = find(name);
}

}  // namespace fasthash::cpu

// SPDX-License-Identifier: Apache-2.0
// The functions that -fsanitize=thread calls before each load and store of the kernels: libtsan is not linked, so that
// shared memory can be watched here. Everything else passes.
#include <cstddef>

#include "cuda_emulation.h"
#include "shared_memory.h"

namespace {

using fasthash::emulation::Access;

void look(const void* address, size_t bytes, Access access) {
  const auto* shared = fasthash::emulation::block_memory;
  if (shared != nullptr && shared->covers(address)) fasthash::emulation::see(address, bytes, access);
}

}  // namespace

extern "C" {
#define FASTHASH_SEE(bytes)                                    \
  void __tsan_read##bytes(void* address) {                     \
    look(address, bytes, Access::kRead);                       \
  }                                                            \
  void __tsan_write##bytes(void* address) {                    \
    look(address, bytes, Access::kWrite);                      \
  }                                                            \
  void __tsan_unaligned_read##bytes(void* address) {           \
    look(address, bytes, Access::kRead);                       \
  }                                                            \
  void __tsan_unaligned_write##bytes(void* address) {          \
    look(address, bytes, Access::kWrite);                      \
  }                                                            \
  void __tsan_volatile_read##bytes(void* address) {            \
    look(address, bytes, Access::kRead);                       \
  }                                                            \
  void __tsan_volatile_write##bytes(void* address) {           \
    look(address, bytes, Access::kWrite);                      \
  }                                                            \
  void __tsan_unaligned_volatile_read##bytes(void* address) {  \
    look(address, bytes, Access::kRead);                       \
  }                                                            \
  void __tsan_unaligned_volatile_write##bytes(void* address) { \
    look(address, bytes, Access::kWrite);                      \
  }
FASTHASH_SEE(1)
FASTHASH_SEE(2)
FASTHASH_SEE(4)
FASTHASH_SEE(8)
FASTHASH_SEE(16)
void __tsan_read_range(void* address, size_t bytes) {
  look(address, bytes, Access::kRead);
}
void __tsan_write_range(void* address, size_t bytes) {
  look(address, bytes, Access::kWrite);
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}

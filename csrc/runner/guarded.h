// SPDX-License-Identifier: Apache-2.0
// Memory with nothing behind it: a kernel that reads or writes past the end of an array faults.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define FASTHASH_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FASTHASH_ADDRESS_SANITIZER
#endif
#endif

#if !defined(FASTHASH_ADDRESS_SANITIZER)
#include <sys/mman.h>
#include <unistd.h>

#include <new>
#endif

namespace fasthash::runner {

// With AddressSanitizer an allocation of exactly that size, which it watches on both sides. Without, the end of a
// mapping with a page behind it that may not be touched; so the NEON level is watched under an emulator too.
class Guarded {
 public:
  // The bytes begin `skew` later (allocation) or end so much sooner (mapping) than they would, for odd addresses.
  Guarded(size_t bytes, size_t skew) : bytes_(bytes) {
#if defined(FASTHASH_ADDRESS_SANITIZER)
    base_ = new uint8_t[skew + bytes];
    data_ = base_ + skew;
#else
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t usable = (bytes + skew + page - 1) / page * page;
    mapped_ = usable + page;
    void* mapping = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<uint8_t*>(mapping);
    data_ = base_ + usable - skew - bytes;
    mprotect(base_ + usable, page, PROT_NONE);
#endif
  }
  ~Guarded() {
#if defined(FASTHASH_ADDRESS_SANITIZER)
    delete[] base_;
#else
    munmap(base_, mapped_);
#endif
  }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_;
  uint8_t* base_;
  uint8_t* data_;
#if !defined(FASTHASH_ADDRESS_SANITIZER)
  size_t mapped_;
#endif
};

}  // namespace fasthash::runner

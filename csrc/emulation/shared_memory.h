// SPDX-License-Identifier: Apache-2.0
// The shared memory of a block: every array between guards, and what each thread did to each byte.
//
// The kernels are compiled with the calls before every load and store that gcc and clang insert for ThreadSanitizer,
// but those end here (access.cpp). So a read of what nothing wrote, an access between the arrays, and two accesses
// without an order between them are reported, whatever order the threads happened to take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace fasthash::emulation {

enum class Access { kRead, kWrite, kAtomic, kCopyBegins, kCopyArrives };

// A point in the order of accesses: all before a barrier precedes all behind it; within a warp, so does __syncwarp.
struct Time {
  uint32_t barriers;  // of the launch; the beginning of a block counts as one
  uint32_t warp_syncs;
};

class SharedMemory {
 public:
  SharedMemory(size_t dynamic_bytes, size_t limit);
  ~SharedMemory();

  // All arrays unwritten, for a block that begins with this barrier.
  void clear(unsigned char poison, uint32_t barrier);
  void* dynamic() { return memory_.get() + arrays_.front().begin; }
  // The array declared at `site`; null where no room is left within the limit.
  void* array(const void* site, const char* name, size_t bytes, size_t align);
  size_t used() const { return used_; }

  bool covers(const void* address) const {
    return static_cast<size_t>(static_cast<const std::byte*>(address) - memory_.get()) < end_;
  }
  // Whether all these bytes lie in one array.
  bool holds(const void* address, size_t bytes) const;
  // Notes an access by a thread; returns what is wrong with it, empty = nothing. The address is covered.
  std::string access(const void* address, size_t bytes, Access access, unsigned thread, Time time);

 private:
  // The latest accesses of a kind to a byte, as far as they matter for those to come.
  struct Past {
    enum Who : uint8_t { kNobody, kThread, kWarp, kBlock };
    Who who = kNobody;
    bool atomic = false;
    uint16_t thread = 0;  // one of them
    Time time{};

    bool precedes(unsigned other, Time now) const;
    void add(unsigned other, Time now);
  };
  struct Byte {
    Past writes;
    Past reads;
    bool in_flight = false;
  };
  struct Array {
    const void* site;
    const char* name;
    size_t begin;
    size_t bytes;
  };
  void append(const void* site, const char* name, size_t bytes, size_t align);
  void poison(const Array& array);
  const Array& nearest(size_t place) const;

  std::unique_ptr<std::byte[]> memory_;
  std::vector<Byte> bytes_;
  std::vector<Array> arrays_;  // the dynamic one first
  size_t end_ = 0;
  size_t used_ = 0;
  size_t limit_;
  unsigned char poison_ = 0;
  uint32_t beginning_ = 0;
};

// That of the block that runs; null between launches.
inline SharedMemory* block_memory = nullptr;

}  // namespace fasthash::emulation

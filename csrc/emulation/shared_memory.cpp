// SPDX-License-Identifier: Apache-2.0
#include "shared_memory.h"

#include <algorithm>
#include <cstring>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) static_cast<void>(0)
#endif

namespace fasthash::emulation {
namespace {

constexpr size_t kGuard = 1024;  // bytes before and behind each array
constexpr size_t kArrays = 16;   // for which there is room
constexpr unsigned kLanes = 32;

}  // namespace

SharedMemory::SharedMemory(size_t dynamic_bytes, size_t limit)
    : memory_(new std::byte[limit + (kArrays + 1) * 2 * kGuard]), limit_(limit) {
  ASAN_POISON_MEMORY_REGION(memory_.get(), limit + (kArrays + 1) * 2 * kGuard);
  append(nullptr, "dynamic", dynamic_bytes, 16);
}

SharedMemory::~SharedMemory() {
  ASAN_UNPOISON_MEMORY_REGION(memory_.get(), limit_ + (kArrays + 1) * 2 * kGuard);
}

void SharedMemory::append(const void* site, const char* name, size_t bytes, size_t align) {
  // No better aligned than its type, as in a real block.
  const auto start = reinterpret_cast<uintptr_t>(memory_.get()) + end_ + kGuard;
  const size_t pad = (start / (2 * align) * 2 * align + 3 * align - start) % (2 * align);
  arrays_.push_back({site, name, end_ + kGuard + pad, bytes});
  end_ = arrays_.back().begin + bytes + kGuard;
  used_ += bytes;
  bytes_.resize(end_);
  poison(arrays_.back());
}

void SharedMemory::poison(const Array& array) {
  ASAN_UNPOISON_MEMORY_REGION(memory_.get() + array.begin, array.bytes);
  std::memset(memory_.get() + array.begin, poison_, array.bytes);
}

void SharedMemory::clear(unsigned char poison, uint32_t barrier) {
  poison_ = poison;
  beginning_ = barrier;
  for (const Array& array : arrays_) this->poison(array);
}

void* SharedMemory::array(const void* site, const char* name, size_t bytes, size_t align) {
  for (const Array& array : arrays_) {
    if (array.site == site) return memory_.get() + array.begin;
  }
  if (used_ + bytes > limit_ || arrays_.size() > kArrays) return nullptr;
  append(site, name, bytes, align);
  return memory_.get() + arrays_.back().begin;
}

const SharedMemory::Array& SharedMemory::nearest(size_t place) const {
  size_t i = 0;
  while (i + 1 < arrays_.size() && arrays_[i + 1].begin <= place + kGuard) ++i;
  return arrays_[i];
}

bool SharedMemory::holds(const void* address, size_t bytes) const {
  if (!covers(address)) return false;
  const size_t place = static_cast<const std::byte*>(address) - memory_.get();
  const Array& array = nearest(place);
  return place >= array.begin && place + bytes <= array.begin + array.bytes;
}

bool SharedMemory::Past::precedes(unsigned other, Time now) const {
  if (who == kNobody || time.barriers < now.barriers) return true;
  if (who == kThread && thread == other) return true;
  return who != kBlock && thread / kLanes == other / kLanes && time.warp_syncs < now.warp_syncs;
}

void SharedMemory::Past::add(unsigned other, Time now) {
  if (who == kNobody || time.barriers < now.barriers) {
    who = kThread;
  } else if (thread / kLanes != other / kLanes) {
    who = kBlock;
  } else if (who == kThread && thread != other) {
    who = kWarp;
  }
  thread = static_cast<uint16_t>(other);
  time = now;
}

std::string SharedMemory::access(const void* address, size_t bytes, Access access, unsigned thread, Time time) {
  const size_t place = static_cast<const std::byte*>(address) - memory_.get();
  const Array& array = nearest(place);
  const bool writes = access != Access::kRead;
  const auto tell = [&](size_t i, const std::string& what) {
    const auto at = static_cast<ptrdiff_t>(place + i) - static_cast<ptrdiff_t>(array.begin);
    return std::string(writes ? "writes" : "reads") + " byte " + std::to_string(at) + " of the shared array " +
           array.name + " of " + std::to_string(array.bytes) + " bytes" + what;
  };
  for (size_t i = 0; i < bytes; ++i) {
    if (place + i < array.begin || place + i >= array.begin + array.bytes) return tell(i, "");
    Byte& byte = bytes_[place + i];
    const bool both_atomic = access == Access::kAtomic && byte.writes.atomic;
    if (!both_atomic && !byte.writes.precedes(thread, time)) {
      return tell(i, ", which thread " + std::to_string(byte.writes.thread) + " wrote with no barrier between");
    }
    if (writes && !byte.reads.precedes(thread, time)) {
      return tell(i, ", which thread " + std::to_string(byte.reads.thread) + " read with no barrier between");
    }
    if (access == Access::kRead || access == Access::kAtomic) {
      if (byte.writes.who == Past::kNobody || byte.writes.time.barriers < beginning_) {
        return tell(i, ", which nothing wrote");
      }
      if (byte.in_flight) return tell(i, ", to which a copy is on its way that was not waited for");
    }
    if (!writes) {
      byte.reads.add(thread, time);
      continue;
    }
    if (!both_atomic) byte.writes.who = Past::kNobody;
    byte.writes.add(thread, time);
    byte.writes.atomic = access == Access::kAtomic;
    byte.reads.who = Past::kNobody;
    byte.in_flight = access == Access::kCopyBegins;
  }
  return {};
}

}  // namespace fasthash::emulation

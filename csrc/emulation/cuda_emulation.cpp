// SPDX-License-Identifier: Apache-2.0
#include "cuda_emulation.h"

#include <exception>
#include <iomanip>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <utility>
#include <vector>

#include "fiber.h"

namespace fasthash::emulation {
namespace {

constexpr unsigned char kPoisons[] = {0xA5, 0x3C, 0xFF, 0x01};

enum class State { kReady, kWaiting, kDone };

struct AsyncCopy {
  void* shared;
  const void* global;
  size_t bytes;
  size_t count;
  size_t group = 0;
};

// What some lanes of a warp brought; they keep it until each of them meets again.
struct Meeting {
  const char* primitive = nullptr;
  Where where;
  unsigned mask = 0;
  unsigned arrived = 0;
  int readers = 0;
  Lanes values{};
};

struct Thread {
  State state = State::kReady;
  uint3 index{};
  // What it waits for.
  const char* primitive = nullptr;  // compared by address: each has one text
  Where where;
  unsigned mask = 0;
  Meeting* meeting = nullptr;  // the last one
  std::vector<AsyncCopy> copies;
  size_t group = 0;  // of copies, the open one
};

struct Warp {
  std::vector<std::unique_ptr<Meeting>> meetings;  // those with no reader are free
  uint32_t syncs = 0;
};

std::string text(uint3 index) {
  std::ostringstream out;
  out << '(' << index.x << ", " << index.y << ", " << index.z << ')';
  return out.str();
}
std::string text(const Thread& thread) {
  std::ostringstream out;
  out << "thread " << text(thread.index) << " at " << thread.primitive << " (" << thread.where.file_name() << ':'
      << thread.where.line();
  if (thread.mask != 0) out << ", mask 0x" << std::hex << std::setw(8) << std::setfill('0') << thread.mask;
  out << ')';
  return out.str();
}
bool same(const Where& a, const Where& b) {
  return a.line() == b.line() && a.column() == b.column();
}

uint3 unravel(size_t i, dim3 extent) {
  return {static_cast<unsigned>(i % extent.x), static_cast<unsigned>(i / extent.x % extent.y),
          static_cast<unsigned>(i / extent.x / extent.y)};
}

std::mutex one_at_a_time;  // guards all below
uint64_t seed = 0;
uint64_t random_state = 0;
#ifdef FASTHASH_CAN_WATCH
constexpr bool kCanWatch = true;
#else
constexpr bool kCanWatch = false;
#endif
bool watching = kCanWatch;
size_t shared_limit = kSharedLimit;
std::map<const void*, size_t> allowed;       // dynamic shared memory, for the next launch of a kernel
std::vector<std::unique_ptr<Fiber>> fibers;  // kept from launch to launch

// Below `count`, by SplitMix64.
size_t random_below(size_t count) {
  uint64_t x = random_state += 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return static_cast<size_t>((x ^ x >> 31) % count);
}
void shuffle_order(std::vector<size_t>& order) {
  if (seed == 0) return std::sort(order.begin(), order.end());
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_below(i)]);
}

// One launch: its threads are used again for each block.
class Launch {
 public:
  Launch(const char* op, dim3 grid, dim3 block, size_t dynamic_bytes, size_t shared_bytes,
         const std::function<void()>& body);
  ~Launch() { block_memory = nullptr; }
  void run();

  int barrier(const char* primitive, bool predicate, Where where);
  const Lanes& meet(const char* primitive, unsigned mask, uint64_t value, Where where, bool orders = false);
  void see(const void* address, size_t bytes, Access access);
  void async_copy(AsyncCopy copy);
  void async_commit() { ++current().group; }
  void async_wait(size_t pending);
  [[noreturn]] void fail(const std::string& what) const { throw Fault(report(what)); }

  int lane() const { return static_cast<int>(current_ % 32); }
  SharedMemory& shared() { return shared_; }

 private:
  static void enter();
  std::string report(const std::string& what) const { return op_ + (": block " + text(blockIdx)) + ": " + what; }
  Thread& current() { return threads_[current_]; }
  Warp& warp() { return warps_[current_ / 32]; }
  void run_block();
  void resume(size_t thread);
  void wait();
  void wake(size_t thread);
  Meeting& join(const char* primitive, unsigned mask, Where where);
  void report_stuck() const;

  std::string op_;
  dim3 grid_;
  dim3 block_;
  const std::function<void()>& body_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<size_t> ready_;
  SharedMemory shared_;
  size_t current_ = 0;
  uint32_t barriers_ = 0;
  size_t at_barrier_ = 0;
  int holding_ = 0;
  int held_ = 0;
  std::exception_ptr error_;
  std::string seen_;  // the first thing wrong with an access, told when the thread stops
};

Launch* running = nullptr;

Launch::Launch(const char* op, dim3 grid, dim3 block, size_t dynamic_bytes, size_t shared_bytes,
               const std::function<void()>& body)
    : op_(op),
      grid_(grid),
      block_(block),
      body_(body),
      threads_(size_t{block.x} * block.y * block.z),
      warps_((threads_.size() + 31) / 32),
      shared_(dynamic_bytes, shared_bytes) {
  for (size_t i = 0; i < threads_.size(); ++i) {
    threads_[i].index = unravel(i, block);
    if (i == fibers.size()) fibers.push_back(std::make_unique<Fiber>());
  }
}

void Launch::run() {
  blockDim = block_;
  gridDim = grid_;
  block_memory = watching ? &shared_ : nullptr;
  std::vector<size_t> blocks(size_t{grid_.x} * grid_.y * grid_.z);
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = i;
  shuffle_order(blocks);
  for (size_t block : blocks) {
    blockIdx = unravel(block, grid_);
    run_block();
  }
}

void Launch::run_block() {
  shared_.clear(poison(), ++barriers_);
  for (size_t i = 0; i < threads_.size(); ++i) {
    Thread& thread = threads_[i];
    thread.copies.clear();
    thread.group = 0;
    fibers[i]->start(&Launch::enter);
    wake(i);
  }
  size_t done = 0;
  for (std::vector<size_t> order; !ready_.empty(); order.clear()) {
    order.swap(ready_);
    shuffle_order(order);
    for (size_t i : order) {
      resume(i);
      if (threads_[i].state == State::kDone) ++done;
    }
  }
  if (done < threads_.size()) report_stuck();
}

void Launch::resume(size_t thread) {
  current_ = thread;
  threadIdx = threads_[thread].index;
  fibers[thread]->resume();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  if (!seen_.empty()) throw Fault(seen_);
}

// The first function of a fiber. Exceptions must not leave it: they go on in resume().
void Launch::enter() {
  try {
    running->body_();
  } catch (...) {
    running->error_ = std::current_exception();
  }
  running->current().state = State::kDone;
}

void Launch::wait() {
  current().state = State::kWaiting;
  fibers[current_]->stop();
}

void Launch::wake(size_t thread) {
  threads_[thread].state = State::kReady;
  ready_.push_back(thread);
}

int Launch::barrier(const char* primitive, bool predicate, Where where) {
  Thread& self = current();
  self.primitive = primitive;
  self.where = where;
  self.mask = 0;
  holding_ += predicate;
  if (++at_barrier_ < threads_.size()) {
    wait();
    return held_;
  }
  for (const Thread& other : threads_) {
    if (!same(other.where, where)) fail("divergent barriers: " + text(self) + ", " + text(other));
  }
  for (size_t i = 0; i < threads_.size(); ++i) {
    if (i != current_) wake(i);
  }
  ++barriers_;
  at_barrier_ = 0;
  return held_ = std::exchange(holding_, 0);
}

// The meeting for which lanes of this mask gather here, maybe a new one.
Meeting& Launch::join(const char* primitive, unsigned mask, Where where) {
  Meeting* free = nullptr;
  for (auto& meeting : warp().meetings) {
    if (meeting->readers == 0) {
      free = meeting.get();
    } else if (meeting->arrived != meeting->mask && meeting->mask == mask && meeting->primitive == primitive &&
               same(meeting->where, where)) {
      return *meeting;
    }
  }
  if (free == nullptr) free = warp().meetings.emplace_back(std::make_unique<Meeting>()).get();
  *free = {primitive, where, mask};
  const size_t lanes = threads_.size() - current_ / 32 * 32;
  if (lanes < 32 && mask >> lanes != 0) fail(text(current()) + ": the mask names a lane that the block does not have");
  return *free;
}

const Lanes& Launch::meet(const char* primitive, unsigned mask, uint64_t value, Where where, bool orders) {
  Thread& self = current();
  self.primitive = primitive;
  self.where = where;
  self.mask = mask;
  if (self.meeting != nullptr) --self.meeting->readers;
  if (!(mask >> lane() & 1)) fail(text(self) + ": the mask lacks the caller's own lane");
  Meeting& meeting = join(primitive, mask, where);
  self.meeting = &meeting;
  ++meeting.readers;
  meeting.arrived |= 1u << lane();
  meeting.values[lane()] = value;
  if (meeting.arrived != mask) {
    wait();
    return meeting.values;
  }
  if (orders) ++warp().syncs;
  const size_t first = current_ - current_ % 32;
  for (unsigned others = mask & ~(1u << lane()); others != 0; others &= others - 1) {
    wake(first + std::countr_zero(others));
  }
  return meeting.values;
}

void Launch::see(const void* address, size_t bytes, Access access) {
  const std::string wrong =
      shared_.access(address, bytes, access, static_cast<unsigned>(current_), {barriers_, warp().syncs});
  if (!wrong.empty() && seen_.empty()) seen_ = report("thread " + text(threadIdx) + ' ' + wrong);
}

void Launch::async_copy(AsyncCopy copy) {
  const auto addresses = reinterpret_cast<uintptr_t>(copy.shared) | reinterpret_cast<uintptr_t>(copy.global);
  if (addresses % copy.bytes != 0) emulation::fail("async_copy", "an address is not a multiple of the size");
  if (copy.count > copy.bytes) emulation::fail("async_copy", "count is not within the size");
  if (!shared_.holds(copy.shared, copy.bytes)) emulation::fail("async_copy", "writes outside the shared arrays");
  emulation::see(copy.shared, copy.bytes, Access::kCopyBegins);
  std::memset(copy.shared, poison(), copy.bytes);
  copy.group = current().group;
  current().copies.push_back(copy);
}

void Launch::async_wait(size_t pending) {
  Thread& self = current();
  size_t arrived = 0;
  for (; arrived < self.copies.size() && self.copies[arrived].group + pending < self.group; ++arrived) {
    const AsyncCopy& copy = self.copies[arrived];
    emulation::see(copy.shared, copy.bytes, Access::kCopyArrives);
    auto* to = static_cast<std::byte*>(copy.shared);
    if (copy.count > 0) std::memcpy(to, copy.global, copy.count);
    std::memset(to + copy.count, 0, copy.bytes - copy.count);
  }
  self.copies.erase(self.copies.begin(), self.copies.begin() + static_cast<ptrdiff_t>(arrived));
}

void Launch::report_stuck() const {
  std::ostringstream what;
  what << "no thread can move:";
  size_t done = 0;
  const Thread* shown = nullptr;
  for (const Thread& thread : threads_) {
    if (thread.state == State::kDone) {
      ++done;
    } else if (shown == nullptr || shown->primitive != thread.primitive || shown->mask != thread.mask ||
               !same(shown->where, thread.where)) {
      what << ' ' << text(thread) << ';';
      shown = &thread;
    }
  }
  what << ' ' << done << " threads have ended";
  fail(what.str());
}

}  // namespace

void set_seed(uint64_t value) {
  const std::lock_guard lock(one_at_a_time);
  seed = value;
  random_state = value;
}
unsigned char poison() {
  return kPoisons[seed % std::size(kPoisons)];
}
void watch(bool on) {
  const std::lock_guard lock(one_at_a_time);
  watching = on && kCanWatch;
}
void set_shared_limit(size_t bytes) {
  const std::lock_guard lock(one_at_a_time);
  shared_limit = bytes;
}

void allow_shared(const char* op, const void* kernel, size_t bytes) {
  const std::lock_guard lock(one_at_a_time);
  if (bytes > shared_limit) {
    throw Fault(std::string(op) + ": " + std::to_string(bytes) + " bytes of shared memory, of which a block gets " +
                std::to_string(shared_limit) + " at most");
  }
  allowed[kernel] = bytes;
}

void launch(const char* op, const void* kernel, dim3 grid, dim3 block, size_t shared_bytes,
            const std::function<void()>& thread) {
  const std::lock_guard lock(one_at_a_time);
  const auto refuse = [op](const std::string& what) { throw Fault(std::string(op) + ": launch: " + what); };
  if (size_t{grid.x} * grid.y * grid.z == 0) refuse("no blocks");
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kMaxThreads) {
    refuse(std::to_string(threads) + " threads a block, of 1 to " + std::to_string(kMaxThreads));
  }
  const auto own = allowed.extract(kernel);
  if (shared_bytes > (own.empty() ? kSharedBytes : own.mapped())) {
    refuse(std::to_string(shared_bytes) + " bytes of dynamic shared memory without allow_shared");
  }
  Launch launch(op, grid, block, shared_bytes, own.empty() ? kSharedBytes : shared_limit, thread);
  running = &launch;
  launch.run();
}

void* dynamic_shared() {
  return running->shared().dynamic();
}
void* static_shared(const void* site, const char* name, size_t bytes, size_t align) {
  void* array = running->shared().array(site, name, bytes, align);
  if (array != nullptr) return array;
  running->fail(std::string(name) + " of " + std::to_string(bytes) + " bytes: no room, with " +
                std::to_string(running->shared().used()) + " bytes of shared memory in use");
}
void see(const void* address, size_t bytes, Access access) {
  if (block_memory != nullptr && block_memory->covers(address)) running->see(address, bytes, access);
}
int barrier(const char* primitive, bool predicate, Where where) {
  return running->barrier(primitive, predicate, where);
}
const Lanes& meet(const char* primitive, unsigned mask, uint64_t value, Where where) {
  return running->meet(primitive, mask, value, where);
}
void sync_warp(unsigned mask, Where where) {
  running->meet("__syncwarp", mask, 0, where, true);
}
void async_copy(void* shared, const void* global, int bytes, int count) {
  running->async_copy({shared, global, static_cast<size_t>(bytes), static_cast<size_t>(count)});
}
void async_commit() {
  running->async_commit();
}
void async_wait(int pending) {
  running->async_wait(static_cast<size_t>(pending));
}
int lane_id() {
  return running->lane();
}
void fail(const char* primitive, const std::string& what) {
  running->fail("thread " + text(threadIdx) + " at " + primitive + ": " + what);
}

}  // namespace fasthash::emulation

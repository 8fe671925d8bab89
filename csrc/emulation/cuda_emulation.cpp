// glibc's check of longjmp takes a jump to another stack for an error.
#undef _FORTIFY_SOURCE

#include "cuda_emulation.h"

#include <setjmp.h>
#include <ucontext.h>

#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <sstream>
#include <utility>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace fasthash::emulation {
namespace {

constexpr size_t kStackBytes = 128 * 1024;

// AddressSanitizer wants to know which stack is in use: `leaving` before a switch, `arrived` after it.
struct StackUse {
  const void* bottom = nullptr;
  size_t bytes = 0;
  void* kept = nullptr;
};
#ifdef __SANITIZE_ADDRESS__
void leaving(StackUse& from, const StackUse& to) {
  __sanitizer_start_switch_fiber(&from.kept, to.bottom, to.bytes);
}
void arrived(StackUse& here, StackUse* from) {
  __sanitizer_finish_switch_fiber(here.kept, from ? &from->bottom : nullptr, from ? &from->bytes : nullptr);
}
#else
void leaving(StackUse&, const StackUse&) {}
void arrived(StackUse&, StackUse*) {}
#endif

struct AsyncCopy {
  void* shared;
  const void* global;
  size_t bytes;
  size_t count;
};

enum class State { kReady, kAtBarrier, kAtMeeting, kDone };

struct Thread {
  ucontext_t beginning;  // enters the fiber; from then on `place`, whose switch costs no system call
  jmp_buf place;
  StackUse stack;
  bool entered = false;
  State state = State::kReady;
  uint3 index{};
  // What it waits for, and, after a meeting, what the lanes brought.
  const char* primitive = nullptr;  // compared by address: each has one text
  Where where;
  unsigned mask = 0;
  uint64_t value = 0;
  Lanes brought{};
  std::vector<std::vector<AsyncCopy>> copies{1};  // groups, oldest first; the last one is open
};

struct Memory {
  std::unique_ptr<std::byte[]> bytes;
  size_t size = 0;

  explicit Memory(size_t size) : bytes(new std::byte[size]), size(size) { poison(); }
  void poison() { std::fill_n(bytes.get(), size, std::byte{kPoison}); }
};

std::string text(uint3 index) {
  std::ostringstream out;
  out << '(' << index.x << ", " << index.y << ", " << index.z << ')';
  return out.str();
}
std::string text(const Thread& thread) {
  std::ostringstream out;
  out << "thread " << text(thread.index) << " at " << thread.primitive << " (" << thread.where.file_name() << ':'
      << thread.where.line() << ')';
  return out.str();
}

// One launch: its threads are used again for each block.
class Launch {
 public:
  Launch(const char* op, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body);
  void run();

  void barrier(Where where);
  Lanes meet(const char* primitive, unsigned mask, uint64_t value, Where where);
  [[noreturn]] void fail(const std::string& what) const {
    throw Fault(std::string(op_) + ": block " + text(blockIdx) + ": " + what);
  }

  int lane() const { return static_cast<int>(current_ % 32); }
  const Thread& current() const { return threads_[current_]; }
  void* dynamic_shared() { return dynamic_.bytes.get(); }
  void* static_shared(const void* site, size_t bytes);
  void async_copy(const AsyncCopy& copy);
  void async_commit() { threads_[current_].copies.emplace_back(); }
  void async_wait(size_t pending);

 private:
  static void enter();
  bool is_shared(const void* begin, size_t bytes) const;
  void run_block();
  void start(Thread& thread, char* stack);
  void resume(size_t thread);
  void switch_to(Thread& thread);
  void wait(State state);
  void report_stuck() const;

  const char* op_;
  dim3 grid_;
  dim3 block_;
  const std::function<void()>& body_;
  std::vector<Thread> threads_;
  Memory dynamic_;
  std::vector<std::pair<const void*, Memory>> static_;
  jmp_buf scheduler_;
  StackUse scheduler_stack_;
  size_t current_ = 0;
  std::exception_ptr error_;
};

thread_local Launch* running = nullptr;
thread_local std::vector<std::unique_ptr<char[]>> stacks;  // kept from launch to launch
thread_local uint64_t seed = 0;
thread_local std::mt19937_64 random_order;

std::vector<size_t> ordered(size_t count) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  if (seed != 0) std::shuffle(order.begin(), order.end(), random_order);
  return order;
}

uint3 unravel(size_t i, dim3 extent) {
  return {static_cast<unsigned>(i % extent.x), static_cast<unsigned>(i / extent.x % extent.y),
          static_cast<unsigned>(i / extent.x / extent.y)};
}

Launch::Launch(const char* op, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body)
    : op_(op),
      grid_(grid),
      block_(block),
      body_(body),
      threads_(size_t{block.x} * block.y * block.z),
      dynamic_(shared_bytes) {
  for (size_t i = 0; i < threads_.size(); ++i) {
    threads_[i].index = unravel(i, block);
    if (i == stacks.size()) stacks.emplace_back(new char[kStackBytes]);
  }
}

void Launch::run() {
  blockDim = block_;
  gridDim = grid_;
  for (size_t block : ordered(size_t{grid_.x} * grid_.y * grid_.z)) {
    blockIdx = unravel(block, grid_);
    run_block();
  }
}

void Launch::run_block() {
  dynamic_.poison();
  for (auto& [site, memory] : static_) memory.poison();
  for (size_t i = 0; i < threads_.size(); ++i) start(threads_[i], stacks[i].get());
  for (size_t done = 0; done < threads_.size();) {
    bool moved = false;
    for (size_t i : ordered(threads_.size())) {
      if (threads_[i].state != State::kReady) continue;
      resume(i);
      moved = true;
      if (threads_[i].state == State::kDone) ++done;
    }
    if (!moved) report_stuck();
  }
}

void Launch::start(Thread& thread, char* stack) {
  thread.state = State::kReady;
  thread.entered = false;
  thread.copies.assign(1, {});
  thread.stack = {stack, kStackBytes};
  getcontext(&thread.beginning);
  thread.beginning.uc_stack.ss_sp = stack;
  thread.beginning.uc_stack.ss_size = kStackBytes;
  makecontext(&thread.beginning, &Launch::enter, 0);
}

void Launch::resume(size_t thread) {
  current_ = thread;
  threadIdx = threads_[thread].index;
  switch_to(threads_[thread]);
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Launch::switch_to(Thread& thread) {
  leaving(scheduler_stack_, thread.stack);
  if (_setjmp(scheduler_) == 0) {
    if (thread.entered) _longjmp(thread.place, 1);
    thread.entered = true;
    setcontext(&thread.beginning);
  }
  arrived(scheduler_stack_, nullptr);
}

// The first function of a fiber. It never returns, and exceptions must not leave it: they go on in the scheduler.
void Launch::enter() {
  Thread& self = running->threads_[running->current_];
  arrived(self.stack, &running->scheduler_stack_);
  try {
    running->body_();
  } catch (...) {
    running->error_ = std::current_exception();
  }
  self.state = State::kDone;
  leaving(self.stack, running->scheduler_stack_);
  _longjmp(running->scheduler_, 1);
}

void Launch::wait(State state) {
  Thread& thread = threads_[current_];
  thread.state = state;
  leaving(thread.stack, scheduler_stack_);
  if (_setjmp(thread.place) == 0) _longjmp(scheduler_, 1);
  arrived(thread.stack, &scheduler_stack_);
}

void Launch::barrier(Where where) {
  Thread& self = threads_[current_];
  self.primitive = "__syncthreads";
  self.where = where;
  for (const Thread& other : threads_) {
    if (&other == &self || other.state == State::kAtBarrier) continue;
    return wait(State::kAtBarrier);
  }
  for (const Thread& other : threads_) {
    if (other.where.line() == where.line() && other.where.column() == where.column()) continue;
    fail("divergent barriers: " + text(self) + ", " + text(other));
  }
  for (Thread& other : threads_) other.state = State::kReady;
}

Lanes Launch::meet(const char* primitive, unsigned mask, uint64_t value, Where where) {
  Thread& self = threads_[current_];
  self.primitive = primitive;
  self.where = where;
  self.mask = mask;
  self.value = value;
  if (!(mask >> lane() & 1)) fail(text(self) + ": the mask lacks the caller's own lane");
  const size_t first = current_ - current_ % 32;
  Lanes brought{};
  for (size_t i = 0; i < 32; ++i) {
    if (!(mask >> i & 1)) continue;
    if (first + i >= threads_.size()) fail(text(self) + ": the mask names a lane that the block does not have");
    const Thread& other = threads_[first + i];
    const bool same = other.mask == mask && other.primitive == primitive;
    if (&other != &self && (other.state != State::kAtMeeting || !same)) {
      wait(State::kAtMeeting);
      return self.brought;
    }
    brought[i] = other.value;
  }
  for (size_t i = 0; i < 32; ++i) {
    if (!(mask >> i & 1)) continue;
    threads_[first + i].brought = brought;
    threads_[first + i].state = State::kReady;
  }
  return brought;
}

void Launch::report_stuck() const {
  std::ostringstream what;
  what << "no thread can move:";
  size_t done = 0;
  const Thread* shown = nullptr;
  for (const Thread& thread : threads_) {
    if (thread.state == State::kDone) {
      ++done;
    } else if (shown == nullptr || shown->primitive != thread.primitive || shown->where.line() != thread.where.line()) {
      what << ' ' << text(thread) << ';';
      shown = &thread;
    }
  }
  what << ' ' << done << " threads have ended";
  fail(what.str());
}

void* Launch::static_shared(const void* site, size_t bytes) {
  for (auto& [known, memory] : static_) {
    if (known == site) return memory.bytes.get();
  }
  static_.emplace_back(site, Memory(bytes));
  return static_.back().second.bytes.get();
}

bool Launch::is_shared(const void* begin, size_t bytes) const {
  const auto holds = [&](const Memory& memory) {
    const auto at = static_cast<const std::byte*>(begin) - memory.bytes.get();
    return at >= 0 && at + static_cast<ptrdiff_t>(bytes) <= static_cast<ptrdiff_t>(memory.size);
  };
  return holds(dynamic_) || std::any_of(static_.begin(), static_.end(), [&](auto& one) { return holds(one.second); });
}

void Launch::async_copy(const AsyncCopy& copy) {
  const auto addresses = reinterpret_cast<uintptr_t>(copy.shared) | reinterpret_cast<uintptr_t>(copy.global);
  if (addresses % copy.bytes != 0) emulation::fail("async_copy", "an address is not a multiple of the size");
  if (copy.count > copy.bytes) emulation::fail("async_copy", "count is not within the size");
  if (!is_shared(copy.shared, copy.bytes)) emulation::fail("async_copy", "writes outside the block's shared memory");
  std::memset(copy.shared, kPoison, copy.bytes);
  threads_[current_].copies.back().push_back(copy);
}

void Launch::async_wait(size_t pending) {
  auto& groups = threads_[current_].copies;
  for (; groups.size() > pending + 1; groups.erase(groups.begin())) {
    for (const AsyncCopy& copy : groups.front()) {
      auto* to = static_cast<std::byte*>(copy.shared);
      if (copy.count > 0) std::memcpy(to, copy.global, copy.count);
      std::memset(to + copy.count, 0, copy.bytes - copy.count);
    }
  }
}

}  // namespace

void set_seed(uint64_t value) {
  seed = value;
  random_order.seed(value);
}

void launch(const char* op, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& thread) {
  Launch launch(op, grid, block, shared_bytes, thread);
  running = &launch;
  launch.run();
}

void* dynamic_shared() {
  return running->dynamic_shared();
}
void* static_shared(const void* site, size_t bytes) {
  return running->static_shared(site, bytes);
}
void barrier(Where where) {
  running->barrier(where);
}
Lanes meet(const char* primitive, unsigned mask, uint64_t value, Where where) {
  return running->meet(primitive, mask, value, where);
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

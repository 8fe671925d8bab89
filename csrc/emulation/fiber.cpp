// SPDX-License-Identifier: Apache-2.0
// The switch is the compiler's own setjmp and longjmp. Those of the C library would do, but AddressSanitizer intercepts
// them, at three times the cost; so this file is compiled without it, and is told by FASTHASH_ASAN.
#include "fiber.h"

#ifdef FASTHASH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace fasthash::emulation {
namespace {

constexpr size_t kStackBytes = 128 * 1024;
Fiber* entering = nullptr;

// Not in a function that sets a place to jump to.
[[noreturn, gnu::noinline]] void jump(void** place) {
  __builtin_longjmp(place, 1);
}

}  // namespace

#ifdef FASTHASH_ASAN
void Fiber::leaving(StackUse& from, const StackUse& to) {
  __sanitizer_start_switch_fiber(&from.kept, to.bottom, to.bytes);
}
void Fiber::arrived(StackUse& here, StackUse* from) {
  __sanitizer_finish_switch_fiber(here.kept, from ? &from->bottom : nullptr, from ? &from->bytes : nullptr);
}
void Fiber::clear() {
  __asan_unpoison_memory_region(stack_.get(), bytes_);
}
#else
void Fiber::leaving(StackUse&, const StackUse&) {}
void Fiber::arrived(StackUse&, StackUse*) {}
void Fiber::clear() {}
#endif

void Fiber::start(void (*function)()) {
  if (stack_ == nullptr) {
    // Stacks end at different cache lines, so that switching among many does not empty the cache.
    static size_t count = 0;
    bytes_ = kStackBytes - count++ % 31 * 128;
    stack_.reset(new char[bytes_]);
  }
  if (entered_ && !finished_) clear();  // of what an abandoned function left there
  function_ = function;
  entered_ = false;
  finished_ = false;
  use_ = {stack_.get(), bytes_, nullptr};
}

void Fiber::resume() {
  leaving(resumer_use_, use_);
  if (__builtin_setjmp(resumer_) == 0) {
    if (entered_) jump(place_);
    entered_ = true;
    entering = this;
    getcontext(&beginning_);
    beginning_.uc_stack.ss_sp = stack_.get();
    beginning_.uc_stack.ss_size = bytes_;
    makecontext(&beginning_, &Fiber::enter, 0);
    setcontext(&beginning_);
  }
  arrived(resumer_use_, nullptr);
}

void Fiber::enter() {
  Fiber& self = *entering;
  arrived(self.use_, &self.resumer_use_);
  self.function_();
  self.finished_ = true;
  leaving(self.use_, self.resumer_use_);
  jump(self.resumer_);
}

void Fiber::stop() {
  leaving(use_, resumer_use_);
  if (__builtin_setjmp(place_) == 0) jump(resumer_);
  arrived(use_, &resumer_use_);
}

}  // namespace fasthash::emulation

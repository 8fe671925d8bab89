// glibc's check of longjmp takes a jump to another stack for an error.
#undef _FORTIFY_SOURCE

#include "fiber.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace fasthash::emulation {
namespace {

constexpr size_t kStackBytes = 128 * 1024;
Fiber* entering = nullptr;

}  // namespace

#ifdef __SANITIZE_ADDRESS__
void Fiber::leaving(StackUse& from, const StackUse& to) {
  __sanitizer_start_switch_fiber(&from.kept, to.bottom, to.bytes);
}
void Fiber::arrived(StackUse& here, StackUse* from) {
  __sanitizer_finish_switch_fiber(here.kept, from ? &from->bottom : nullptr, from ? &from->bytes : nullptr);
}
#else
void Fiber::leaving(StackUse&, const StackUse&) {}
void Fiber::arrived(StackUse&, StackUse*) {}
#endif

void Fiber::start(void (*function)()) {
  if (stack_ == nullptr) {
    // Stacks end at different cache lines, so that switching among many does not empty the cache.
    static size_t count = 0;
    bytes_ = kStackBytes - count++ % 31 * 128;
    stack_.reset(new char[bytes_]);
  }
  function_ = function;
  entered_ = false;
  use_ = {stack_.get(), bytes_, nullptr};
}

void Fiber::resume() {
  leaving(resumer_use_, use_);
  if (_setjmp(resumer_) == 0) {
    if (entered_) _longjmp(place_, 1);
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
}

void Fiber::stop() {
  leaving(use_, resumer_use_);
  if (_setjmp(place_) == 0) _longjmp(resumer_, 1);
  arrived(use_, &resumer_use_);
}

void Fiber::finish() {
  leaving(use_, resumer_use_);
  _longjmp(resumer_, 1);
}

}  // namespace fasthash::emulation

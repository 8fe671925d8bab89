// A function on a stack of its own, which can stop in the middle and go on later.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <memory>

namespace fasthash::emulation {

class Fiber {
 public:
  // Lets resume() begin `function`, which must end in a call of finish().
  void start(void (*function)());
  // Runs the function until it stops or is finished.
  void resume();
  // Called by the function: goes back to resume(), to go on at the next resume().
  void stop();
  // Called by the function, as the last thing: goes back to resume() for good.
  [[noreturn]] void finish();

 private:
  // What AddressSanitizer wants to know of a stack.
  struct StackUse {
    const void* bottom = nullptr;
    size_t bytes = 0;
    void* kept = nullptr;
  };
  static void leaving(StackUse& from, const StackUse& to);
  static void arrived(StackUse& here, StackUse* from);
  static void enter();

  std::unique_ptr<char[]> stack_;
  size_t bytes_ = 0;
  ucontext_t beginning_;  // enters the function; from then on `place_`, whose switch costs no system call
  jmp_buf place_;
  jmp_buf resumer_;
  StackUse use_;
  StackUse resumer_use_;
  void (*function_)() = nullptr;
  bool entered_ = false;
};

}  // namespace fasthash::emulation

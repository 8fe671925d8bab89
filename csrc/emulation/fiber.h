// SPDX-License-Identifier: Apache-2.0
// A function on a stack of its own, which can stop in the middle and go on later.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <memory>

namespace fasthash::emulation {

class Fiber {
 public:
  // Lets resume() begin `function`. One that has not finished is abandoned.
  void start(void (*function)());
  // Runs the function until it stops or has finished.
  void resume();
  // Called by the function: goes back to resume(), to go on at the next resume().
  void stop();
  bool finished() const { return finished_; }

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
  void clear();

  std::unique_ptr<char[]> stack_;
  size_t bytes_ = 0;
  ucontext_t beginning_;  // enters the function; from then on `place_`, whose switch costs no system call
  void* place_[5];
  void* resumer_[5];
  StackUse use_;
  StackUse resumer_use_;
  void (*function_)() = nullptr;
  bool entered_ = false;
  bool finished_ = false;
};

}  // namespace fasthash::emulation

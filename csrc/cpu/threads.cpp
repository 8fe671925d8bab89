// SPDX-License-Identifier: Apache-2.0
#include "threads.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace fasthash::cpu {
namespace {

// One parallel_for: threads take tasks by counting up; the last one to leave wakes the caller.
struct Job {
  Job(const std::function<void(int64_t)>* body, int64_t tasks, int helpers_wanted)
      : body(body), tasks(tasks), helpers_wanted(helpers_wanted) {}

  const std::function<void(int64_t)>* body;
  int64_t tasks;
  int helpers_wanted;  // guarded by Pool::mutex_
  int helpers_inside = 0;
  std::atomic<int64_t> next{0};
  std::mutex error_mutex;
  std::exception_ptr error;
  std::condition_variable left;

  void work() {
    for (int64_t task = next.fetch_add(1); task < tasks; task = next.fetch_add(1)) {
      try {
        (*body)(task);
      } catch (...) {
        std::lock_guard lock(error_mutex);
        if (!error) error = std::current_exception();
        next = tasks;
      }
    }
  }
};

class Pool {
 public:
  void run(Job& job) {
    {
      std::lock_guard lock(mutex_);
      while (static_cast<int>(workers_) < job.helpers_wanted) {
        try {
          std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {
          break;  // no more to be had: those that are there, and the caller, do the work
        }
        ++workers_;
      }
      jobs_.push_back(&job);
    }
    wake_.notify_all();
    job.work();
    std::unique_lock lock(mutex_);
    std::erase(jobs_, &job);
    job.left.wait(lock, [&] { return job.helpers_inside == 0; });
  }

 private:
  [[noreturn]] void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return !jobs_.empty(); });
      Job& job = *jobs_.front();
      if (--job.helpers_wanted == 0) jobs_.pop_front();
      ++job.helpers_inside;
      lock.unlock();
      job.work();
      lock.lock();
      if (--job.helpers_inside == 0) job.left.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job*> jobs_;
  size_t workers_ = 0;
};

// Never destroyed: workers wait in it until the process ends. A forked child has no workers, and may hold a
// locked mutex, so it forgets the parent's pool and makes one when it needs one.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { the_pool = nullptr; });
  (void)registered;
  Pool* current = the_pool;
  if (current == nullptr) {
    auto fresh = std::make_unique<Pool>();
    if (the_pool.compare_exchange_strong(current, fresh.get())) current = fresh.release();
  }
  return *current;
}

}  // namespace

void parallel_for(int64_t tasks, int threads, const std::function<void(int64_t)>& body) {
  const auto helpers = static_cast<int>(std::min<int64_t>(threads, tasks)) - 1;
  if (helpers <= 0) {
    for (int64_t task = 0; task < tasks; ++task) body(task);
    return;
  }
  Job job(&body, tasks, helpers);
  pool().run(job);
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace fasthash::cpu

// A fixed set of threads that run one task at a time, each its own share.
//
// Between tasks a worker spins for a short while and then sleeps. Starting a task takes no lock and allocates nothing
// while the workers spin.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace bitvit {

class ThreadPool {
 public:
  using Task = void (*)(void* context, size_t thread);

  explicit ThreadPool(size_t n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  size_t n_threads() const { return n_threads_; }

  // Runs task(context, t) once for each t < n_threads, t = 0 on the calling thread; returns when all are done. The task
  // must not throw. One caller at a time: hold `mutex()`.
  void Run(Task task, void* context);

  std::mutex& mutex() { return run_mutex_; }

  // The pool of that many threads shared by all engines. After a fork the child gets a pool of its own.
  static std::shared_ptr<ThreadPool> Shared(size_t n_threads);

 private:
  void Work(size_t thread);

  const size_t n_threads_;
  std::mutex run_mutex_;
  Task task_ = nullptr;
  void* context_ = nullptr;
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<size_t> epoch_{0};
  alignas(64) std::atomic<size_t> n_pending_{0};
  alignas(64) std::atomic<size_t> n_sleeping_{0};
  std::mutex sleep_mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> threads_;
};

// How many of `left` pieces of work a thread takes at once: fewer towards the end, so that threads of unequal speed
// (a shared core, a small one) end together. At most 1 / n_threads of the whole.
inline size_t PiecesToTake(size_t left, size_t n_threads) { return left < 4 * n_threads ? 1 : left / (2 * n_threads); }

}  // namespace bitvit

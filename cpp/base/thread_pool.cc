#include "base/thread_pool.h"

#include <map>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include "base/float_environment.h"

namespace bitvit {
namespace {

constexpr int kSpins = 4000;  // some tens of microseconds: longer than the gaps between operators

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

long ProcessId() {
#if defined(__unix__) || defined(__APPLE__)
  return static_cast<long>(getpid());
#else
  return 0;
#endif
}

}  // namespace

ThreadPool::ThreadPool(size_t n_threads) : n_threads_(n_threads) {
  threads_.reserve(n_threads - 1);
  for (size_t t = 1; t < n_threads; ++t) threads_.emplace_back([this, t] { Work(t); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(sleep_mutex_);
    stop_.store(true);
    epoch_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Run(Task task, void* context) {
  if (n_threads_ == 1) {
    task(context, 0);
    return;
  }
  task_ = task;
  context_ = context;
  n_pending_.store(n_threads_ - 1, std::memory_order_relaxed);
  epoch_.fetch_add(1, std::memory_order_seq_cst);
  if (n_sleeping_.load(std::memory_order_seq_cst) != 0) {
    {
      std::lock_guard<std::mutex> lock(sleep_mutex_);
    }
    wake_.notify_all();
  }
  task(context, 0);
  for (int spin = 0; n_pending_.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

void ThreadPool::Work(size_t thread) {
  const FloatEnvironment ieee;
  size_t seen = 0;
  while (true) {
    size_t epoch = epoch_.load(std::memory_order_seq_cst);
    for (int spin = 0; epoch == seen && spin < kSpins; ++spin) {
      Pause();
      epoch = epoch_.load(std::memory_order_seq_cst);
    }
    if (epoch == seen) {
      std::unique_lock<std::mutex> lock(sleep_mutex_);
      n_sleeping_.fetch_add(1, std::memory_order_seq_cst);
      wake_.wait(lock, [&] { return epoch_.load(std::memory_order_seq_cst) != seen; });
      n_sleeping_.fetch_sub(1, std::memory_order_relaxed);
      epoch = epoch_.load(std::memory_order_seq_cst);
    }
    if (stop_.load()) return;
    seen = epoch;
    task_(context_, thread);
    n_pending_.fetch_sub(1, std::memory_order_release);
  }
}

std::shared_ptr<ThreadPool> ThreadPool::Shared(size_t n_threads) {
  struct Registry {
    std::mutex mutex;
    long process_id = 0;
    std::map<size_t, std::shared_ptr<ThreadPool>> pools;
  };
  static Registry* const registry = new Registry;  // never destroyed: threads must not be joined at process exit
  std::lock_guard<std::mutex> lock(registry->mutex);
  if (registry->process_id != ProcessId()) {
    for (auto& [n, pool] : registry->pools)
      new std::shared_ptr<ThreadPool>(pool);  // the threads exist in the parent only
    registry->pools.clear();
    registry->process_id = ProcessId();
  }
  std::shared_ptr<ThreadPool>& pool = registry->pools[n_threads];
  if (pool == nullptr) pool = std::make_shared<ThreadPool>(n_threads);
  return pool;
}

}  // namespace bitvit

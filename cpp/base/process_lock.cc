#include "base/process_lock.h"

#if !defined(BITVIT_SINGLE_THREAD)
#include <atomic>
#include <mutex>
#endif

#if !defined(BITVIT_SINGLE_THREAD) && (defined(__unix__) || defined(__APPLE__))
#define BITVIT_HAS_FORK
#include <pthread.h>
#endif

namespace bitvit {

#if defined(BITVIT_SINGLE_THREAD)

ProcessLock::ProcessLock() = default;
ProcessLock::~ProcessLock() = default;
size_t ForkGeneration() { return 0; }

#else

namespace {

struct State {
  std::mutex mutex;
  std::atomic<size_t> generation{0};
};

State& TheState() {
  static State* const state = [] {
    auto* const made = new State;  // never destroyed: threads may still run while the process ends
#if defined(BITVIT_HAS_FORK)
    pthread_atfork([] { TheState().mutex.lock(); }, [] { TheState().mutex.unlock(); },
                   [] {
                     TheState().generation.fetch_add(1, std::memory_order_relaxed);
                     TheState().mutex.unlock();
                   });
#endif
    return made;
  }();
  return *state;
}

}  // namespace

ProcessLock::ProcessLock() { TheState().mutex.lock(); }
ProcessLock::~ProcessLock() { TheState().mutex.unlock(); }
size_t ForkGeneration() { return TheState().generation.load(std::memory_order_relaxed); }

#endif

}  // namespace bitvit

// The one lock of the process, for what calls share: idle threads and idle memory. It is held for some tens of
// nanoseconds, never while something runs, and is taken before a fork, so that the child never finds it locked by a
// thread that it does not have.
#pragma once

#include <cstddef>

namespace bitvit {

class ProcessLock {
 public:
  ProcessLock();
  ~ProcessLock();
  ProcessLock(const ProcessLock&) = delete;
  ProcessLock& operator=(const ProcessLock&) = delete;
};

// How many forks lie between the first process and this one. Threads and calls of an older generation are not in this
// process: what they had borrowed never comes back.
size_t ForkGeneration();

}  // namespace bitvit

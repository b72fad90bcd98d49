// A call that runs without Python's global interpreter lock.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>

#include "engine/interrupt.h"

namespace bitvit {

// Releases the interpreter's lock. `Finish` takes it again.
//
// Ctrl-C: on Python's main thread, interrupt() asks for signals from time to time, and a handler that raises ends the
// run.
//
// Shutdown: when the interpreter ends, only daemon threads can still be here. A thread that asks for the lock of an
// interpreter that is gone is ended by force, which C++ code does not survive. So an exit handler stops all calls and
// waits until none is left; their threads sleep until the process is gone.
class RunningCall {
 public:
  RunningCall();
  ~RunningCall();
  RunningCall(const RunningCall&) = delete;
  RunningCall& operator=(const RunningCall&) = delete;

  Interrupt& interrupt() { return interrupt_; }

  // Throws what a signal handler raised.
  void Finish();

  // To be called once, when the module is imported.
  static void WatchForShutdown();

 private:
  static bool Ask(void* call) noexcept;
  void TakeLock();

  Interrupt interrupt_;
  PyThreadState* saved_ = nullptr;
  size_t generation_;
  bool is_main_known_ = false, is_main_ = false;
};

}  // namespace bitvit

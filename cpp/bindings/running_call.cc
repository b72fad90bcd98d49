#include "bindings/running_call.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "base/process_lock.h"

namespace nb = nanobind;

namespace bitvit {
namespace {

// Under ProcessLock, but for `is_stopping`.
struct RunningCalls {
  size_t n_running = 0, generation = 0;
  std::atomic<bool> is_stopping{false};
  std::thread::id stopper;

  void ForgetBeforeFork() {  // the calls of the parent process are not in this one
    if (generation == ForkGeneration()) return;
    generation = ForkGeneration();
    n_running = 0;
  }
  bool MustStop() const { return is_stopping.load(std::memory_order_acquire) && std::this_thread::get_id() != stopper; }
};

RunningCalls& TheCalls() {
  static auto* const calls = new RunningCalls;  // never destroyed: see the class comment
  return *calls;
}

[[noreturn]] void SleepUntilProcessEnds() {
  while (true) std::this_thread::sleep_for(std::chrono::hours(1));
}

bool IsPythonsMainThread() {
  const nb::object main_thread = nb::module_::import_("threading").attr("main_thread")();
  return nb::cast<unsigned long>(main_thread.attr("ident")) == PyThread_get_thread_ident();
}

void StopAllCalls() {
  {
    const ProcessLock lock;
    TheCalls().ForgetBeforeFork();
    TheCalls().stopper = std::this_thread::get_id();
    TheCalls().is_stopping.store(true, std::memory_order_release);
  }
  const nb::gil_scoped_release release;
  while (true) {
    {
      const ProcessLock lock;
      if (TheCalls().n_running == 0) return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

RunningCall::RunningCall() : interrupt_(&Ask, this) {
  bool must_stop;
  {
    const ProcessLock lock;
    RunningCalls& calls = TheCalls();
    calls.ForgetBeforeFork();
    generation_ = calls.generation;
    must_stop = calls.MustStop();
    if (!must_stop) ++calls.n_running;
  }
  saved_ = PyEval_SaveThread();
  if (must_stop) SleepUntilProcessEnds();
}

RunningCall::~RunningCall() {
  if (saved_ != nullptr) TakeLock();
}

void RunningCall::TakeLock() {
  bool must_stop;
  {
    const ProcessLock lock;
    RunningCalls& calls = TheCalls();
    calls.ForgetBeforeFork();
    must_stop = calls.MustStop();
    if (must_stop && generation_ == calls.generation) --calls.n_running;
  }
  if (must_stop) SleepUntilProcessEnds();
  PyEval_RestoreThread(saved_);
  saved_ = nullptr;
  const ProcessLock lock;
  TheCalls().ForgetBeforeFork();
  if (generation_ == TheCalls().generation) --TheCalls().n_running;
}

void RunningCall::Finish() {
  TakeLock();
  if (PyErr_Occurred() != nullptr) throw nb::python_error();
}

bool RunningCall::Ask(void* context) noexcept {
  RunningCall& call = *static_cast<RunningCall*>(context);
  if (TheCalls().MustStop()) return true;
  if (call.is_main_known_ && !call.is_main_) return false;
  // Safe: the interpreter does not end before this call has.
  const nb::gil_scoped_acquire acquire;
  try {
    if (!call.is_main_known_) {
      call.is_main_ = IsPythonsMainThread();
      call.is_main_known_ = true;
      if (!call.is_main_) return false;
    }
    return PyErr_CheckSignals() != 0;
  } catch (nb::python_error& error) {  // asking for the main thread runs Python code, and that handles signals, too
    error.restore();
    return true;
  }
}

void RunningCall::WatchForShutdown() {
  nb::module_::import_("atexit").attr("register")(nb::cpp_function(&StopAllCalls));
}

}  // namespace bitvit

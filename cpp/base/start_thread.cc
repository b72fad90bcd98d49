#include "base/start_thread.h"

#if !defined(BITVIT_SINGLE_THREAD)

#include <cstddef>
#include <memory>

#if defined(_WIN32)
#include <process.h>
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <pthread.h>
#include <signal.h>
#endif

namespace bitvit {
namespace {

constexpr size_t kStackBytes = size_t{1} << 20;  // some systems give new threads as little as 128 KiB

struct Start {
  void (*work)(void*);
  void* argument;
};

#if defined(_WIN32)
unsigned __stdcall Begin(void* pointer) {
  const Start start = *std::unique_ptr<Start>(static_cast<Start*>(pointer));
  start.work(start.argument);
  return 0;
}
#else
void* Begin(void* pointer) {
  const Start start = *std::unique_ptr<Start>(static_cast<Start*>(pointer));
  start.work(start.argument);
  return nullptr;
}
#endif

}  // namespace

#if defined(_WIN32)

bool StartThread(void (*work)(void*), void* argument) {
  auto start = std::make_unique<Start>(Start{work, argument});
  const uintptr_t thread = _beginthreadex(nullptr, kStackBytes, Begin, start.get(), 0, nullptr);
  if (thread == 0) return false;
  CloseHandle(reinterpret_cast<HANDLE>(thread));
  start.release();
  return true;
}

#else

bool StartThread(void (*work)(void*), void* argument) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  auto start = std::make_unique<Start>(Start{work, argument});
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // a new thread inherits the mask
  pthread_t thread;
  const bool is_started = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0 &&
                          pthread_attr_setstacksize(&attributes, kStackBytes) == 0 &&
                          pthread_create(&thread, &attributes, Begin, start.get()) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (is_started) start.release();
  return is_started;
}

#endif

}  // namespace bitvit

#endif

// Sets IEEE defaults (round to nearest even, denormals kept) for a scope: other libraries of the process may have
// changed them.
#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif defined(__aarch64__)
#include <cstdint>
#endif

namespace bitvit {

class FloatEnvironment {
 public:
#if defined(__x86_64__)
  FloatEnvironment() : saved_(_mm_getcsr()) { _mm_setcsr(0x1f80); }
  ~FloatEnvironment() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;

 public:
#elif defined(__aarch64__)
  FloatEnvironment() : saved_(Read()) { Write(0); }
  ~FloatEnvironment() { Write(saved_); }

 private:
  static uint64_t Read() {
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
  }
  static void Write(uint64_t fpcr) { __asm__ volatile("msr fpcr, %0" : : "r"(fpcr)); }

  uint64_t saved_;

 public:
#else
  FloatEnvironment() {}  // not trivial: a variable of this type is never unused
#endif
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;
};

}  // namespace bitvit

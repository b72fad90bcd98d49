// Sets IEEE defaults (round to nearest even, denormals kept) for a scope: other libraries of the process may have
// changed them.
#pragma once

#if defined(__x86_64__)
#include <xmmintrin.h>
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
#else
  FloatEnvironment() = default;
#endif
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;
};

}  // namespace bitvit

// popcount(x) for the instruction set of the including file: the instruction where there is one, else additions within
// the word.
#pragma once

#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {

BITVIT_INLINE int32_t popcount(uint64_t x) {
#if defined(__POPCNT__) || !defined(__x86_64__)
  return __builtin_popcountll(x);
#else
  x = x - ((x >> 1) & 0x5555555555555555u);
  x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return static_cast<int32_t>((x * 0x0101010101010101u) >> 56);
#endif
}

}  // namespace bitvit::BITVIT_ISA

#pragma once

#include <cstddef>

namespace bitvit {

// numbers[0] + numbers[1] + ..., from left to right.
inline float SumInOrder(const float* numbers, size_t n) {
  float sum = numbers[0];
  for (size_t i = 1; i < n; ++i) sum += numbers[i];
  return sum;
}

}  // namespace bitvit

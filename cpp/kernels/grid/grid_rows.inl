// Rows and neighbours of the cells of a grid.
#pragma once

#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

// position + distance modulo size, or negative where it lies outside and does not wrap.
BITVIT_INLINE int64_t neighbour(size_t position, int32_t distance, size_t size, bool wrap) {
  const int64_t n = static_cast<int64_t>(size), i = static_cast<int64_t>(position) + distance;
  if (i >= 0 && i < n) return i;
  if (!wrap) return -1;
  const int64_t rest = i % n;
  return rest < 0 ? rest + n : rest;
}

// Calls use(row, first, last) for the parts of the cells begin..end-1 that lie in one row of the grid.
template <typename Use>
BITVIT_INLINE void for_row_parts(size_t width, size_t begin, size_t end, Use use) {
  for (size_t n = begin; n < end;) {
    const size_t row = n / width, first = n % width, last = width - first < end - n ? width : first + (end - n);
    use(row, first, last);
    n += last - first;
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

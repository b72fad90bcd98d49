// Several element-wise operators one after the other, on registers: y = f_n(... f_1(x)). Formulas: docs/format.md,
// "Element-wise and rows", "To bits".
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit {

inline constexpr size_t kPointwiseBlock = 64;  // the width of a row must be a multiple of it

enum class PointwiseKind { kAdd, kAddRow, kAffine, kRprelu, kSign, kMask };

// One operator. Parameters have as many elements as a row.
//   kAdd      x + other, a row of `other` having `other_width` elements that repeat to the width of x
//   kAddRow   x + parameters[0]
//   kAffine   x * parameters[0] + parameters[1]
//   kRprelu   t = x - parameters[0]; (t < 0 ? parameters[1] * t : t) + parameters[2]
//   kSign     bit: x < parameters[0]; only the last
//   kMask     bit: x > parameters[0]; only the last
struct PointwiseLink {
  PointwiseKind kind;
  const float* parameters[3];
  const float* other;  // row 0
  size_t other_width;  // a multiple of kPointwiseBlock
  float* out;          // row 0 of the result, or nullptr where only the next link reads it
  uint64_t* bits;      // row 0 of the bits
};

struct PointwiseKernels {
  // Rows begin..end - 1 of x and of everything in the links.
  void (*run)(const float* x, const PointwiseLink* links, size_t n_links, size_t begin, size_t end, size_t width);
};

}  // namespace bitvit

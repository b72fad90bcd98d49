// Float operators on grids: the rows of a value are the cells of a grid, row-major. Formulas: docs/format.md, "Grids".
//
// All compute the cells begin..end-1 of the output, wherever these lie in it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit {

struct GridTap {
  int32_t dy, dx;
};

struct Stencil {
  size_t height, width, n_channels;
  const GridTap* taps;      // of all groups
  const size_t* first_tap;  // of each group, and after the last
  size_t n_groups;
  bool wrap;
  float divisor;       // 1: none
  const float* zeros;  // as many as a group has channels
};

// What may follow a stencil: y * scale + bias, and then + other (nullptr: no sum). scale nullptr: nothing follows.
struct StencilEnd {
  const float* scale;
  const float* bias;
  const float* other;  // cell 0
};

// A term of a sum of stencils of one x: stencil(x) * scale + bias. Then, n_additions times, the last two values that
// have not been added are replaced by their sum.
struct StencilTerm {
  const Stencil* stencil;
  const float* scale;
  const float* bias;
  size_t n_additions;
};

inline constexpr size_t kMaxStencilTerms = 8;
inline constexpr size_t kNoStencilSum = static_cast<size_t>(-1);

struct StencilSum {
  size_t pattern;  // which one of stencil_sums.inc
  size_t height, width, n_channels;
  bool wrap;
  const float *scale[kMaxStencilTerms], *bias[kMaxStencilTerms];
  const float* zeros;  // n_channels of them
};

struct Pool {
  size_t height, width, n_channels;
  size_t out_width;
  size_t kernel, stride, padding;
  bool is_max;
};

struct GridKernels {
  void (*stencil)(const float* x, const Stencil& stencil, const StencilEnd& last, float* y, size_t begin, size_t end);
  // The pattern of such terms, or kNoStencilSum.
  size_t (*stencil_sum_pattern)(const StencilTerm* terms, size_t n_terms);
  void (*stencil_sum)(const float* x, const StencilSum& sum, float* y, size_t begin, size_t end);
  void (*pool)(const float* x, const Pool& pool, float* y, size_t begin, size_t end);
  // y[c] = (x[c g] + x[c g + 1] + ...) / g over n elements of y.
  void (*mean_channels)(const float* x, size_t group, float* y, size_t n);
};

}  // namespace bitvit

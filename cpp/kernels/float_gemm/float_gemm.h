// y[n][o] = bias[o] + x[n][0] * w[o][0] + x[n][1] * w[o][1] + ..., added from left to right.
//
// Weights are packed into blocks of 16 outputs, [ceil(O / 16)][K][16], zero-padded: 16 sums advance in step while k
// goes up, so that lanes never have to be added to each other.
#pragma once

#include <cstddef>

namespace bitvit {

struct FloatGemmKernels {
  // x: rows `x_stride` apart; y: rows of n_outputs without gaps; bias: padded to a multiple of 16 outputs.
  void (*linear)(const float* x, size_t x_stride, const float* packed_weight, const float* bias, float* y,
                 size_t n_rows, size_t n_inputs, size_t n_outputs);
};

}  // namespace bitvit

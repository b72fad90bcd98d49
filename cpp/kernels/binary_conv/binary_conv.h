// Binary convolution: the product of the gathered bits of a cell's neighbourhood with the weights of its group.
//
//   p = popcount(x[group] ^ w[output]),  z = offset[output] - 2 p,  y = f32(z) * scale[output] + bias[output]
//
// The bits of all taps of a group are gathered into `n_units` 32-bit units; taps outside the grid are 0 there, for
// which `offset` makes up: (inputs of the taps inside) + 2 * (1 bits of the weights of the taps outside).
//
// Weights: [group][ceil(group_outputs / 16)][n_units][16] units. Parameters: [group][group_outputs rounded up to 16].
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit {

inline constexpr size_t kBinaryConvBlock = 16;

struct BinaryConvShape {
  size_t n_groups, group_outputs, n_units;
};

struct BinaryConvParameters {
  const uint32_t* weight;
  const float* scale;
  const float* bias;
};

struct BinaryConvKernels {
  // x: [n_cells][group][n_units]; offsets: those of each cell; y: rows of n_groups * group_outputs floats.
  void (*multiply)(const uint32_t* x, const int32_t* const* offsets, const BinaryConvParameters& parameters, float* y,
                   size_t n_cells, const BinaryConvShape& shape);
};

}  // namespace bitvit

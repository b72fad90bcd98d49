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

// Cells of a row of the grid along which all taps inside the grid move on together, so that nothing is gathered.
struct BinaryConvRun {
  const uint64_t* const* taps;  // rows of bits that the taps of the first cell point to, of zeros for those outside
  const size_t* steps;          // words from there to the next cell's: 0 for those outside
  size_t n_taps, n_cells;
  const int32_t* offset;  // of all these cells
};

// Only for some shapes; `fits` is nullptr where an instruction set has none.
struct BinaryConvRunKernels {
  bool (*fits)(const BinaryConvShape& shape, size_t group_inputs);
  size_t (*packed_bytes)(const BinaryConvShape& shape, size_t group_inputs, size_t n_taps);
  // weight: rows of BitWords(group_inputs) words, [output][tap].
  void (*pack)(const uint64_t* weight, const BinaryConvShape& shape, size_t group_inputs, size_t n_taps, void* packed);
  // y: rows of n_groups * group_outputs floats. scale, bias: as in BinaryConvParameters.
  void (*multiply)(const BinaryConvRun& run, const void* packed, const BinaryConvShape& shape, size_t group_inputs,
                   const float* scale, const float* bias, float* y);
};

struct BinaryConvKernels {
  // x: [n_cells][group][n_units]; offsets: those of each cell; y: rows of n_groups * group_outputs floats.
  void (*multiply)(const uint32_t* x, const int32_t* const* offsets, const BinaryConvParameters& parameters, float* y,
                   size_t n_cells, const BinaryConvShape& shape);
  BinaryConvRunKernels runs;
};

}  // namespace bitvit

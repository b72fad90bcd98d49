// The loops of binary_conv.h. The including file defines before it, for its instruction set,
//   counts = count_differing(x, weight, n_units): 16 32-bit popcounts, one for each output of a block,
//   kRunKernels: a constant BinaryConvRunKernels, perhaps of nullptrs.
#include "kernels/binary_conv/binary_conv.h"
#include "kernels/binary_conv/finish.inl"

namespace bitvit::BITVIT_ISA {
namespace {

void multiply(const uint32_t* x, const int32_t* const* offsets, const BinaryConvParameters& parameters, float* y,
              size_t n_cells, const BinaryConvShape& shape) {
  const size_t n_groups = shape.n_groups, group_outputs = shape.group_outputs, n_units = shape.n_units;
  const size_t n_blocks = (group_outputs + kBinaryConvBlock - 1) / kBinaryConvBlock;
  const float *const scale = parameters.scale, *const bias = parameters.bias;
  for (size_t cell = 0; cell < n_cells; ++cell) {
    const uint32_t* weight = parameters.weight;
    const int32_t* const offset = offsets[cell];
    size_t first = 0;  // padded number of the block's first output
    for (size_t g = 0; g < n_groups; ++g, x += n_units, y += group_outputs) {
      for (size_t b = 0; b < n_blocks; ++b, first += kBinaryConvBlock, weight += n_units * kBinaryConvBlock) {
        const i32_lanes counts = count_differing(x, weight, n_units);
        const f32x16 result = finish(counts, offset + first, scale + first, bias + first);
        const size_t o = b * kBinaryConvBlock, n = group_outputs - o;
        if (n >= kBinaryConvBlock) {
          store(y + o, result);
        } else {
          store_first(y + o, result, n);
        }
      }
    }
  }
}

}  // namespace

const BinaryConvKernels& binary_conv_kernels() {
  static constexpr BinaryConvKernels kKernels = {multiply, kRunKernels};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

// The loops of binary_conv.h. The including file defines before it, for its instruction set,
//   counts = count_differing(x, weight, n_units): 16 32-bit popcounts, one for each output of a block.
#include "kernels/binary_conv/binary_conv.h"

namespace bitvit::BITVIT_ISA {
namespace {

BITVIT_INLINE f32x16 finish(const i32_lanes& counts, const int32_t* offset, const float* scale, const float* bias) {
  i32_lanes first;
  __builtin_memcpy(&first, offset, sizeof(first));
  f32x16 z;
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) z.v[i] = __builtin_convertvector(first.v[i] - 2 * counts.v[i], native_f32);
  return z * load(scale) + load(bias);
}

void multiply(const uint32_t* x, const int32_t* const* offsets, const BinaryConvParameters& parameters, float* y,
              size_t n_cells, const BinaryConvShape& shape) {
  const size_t n_blocks = (shape.group_outputs + kBinaryConvBlock - 1) / kBinaryConvBlock;
  for (size_t cell = 0; cell < n_cells; ++cell) {
    const uint32_t* weight = parameters.weight;
    size_t first = 0;  // padded number of the block's first output
    for (size_t g = 0; g < shape.n_groups; ++g, x += shape.n_units, y += shape.group_outputs) {
      for (size_t b = 0; b < n_blocks; ++b, first += kBinaryConvBlock, weight += shape.n_units * kBinaryConvBlock) {
        const i32_lanes counts = count_differing(x, weight, shape.n_units);
        const f32x16 result =
            finish(counts, offsets[cell] + first, parameters.scale + first, parameters.bias + first);
        const size_t o = b * kBinaryConvBlock, n = shape.group_outputs - o;
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
  static constexpr BinaryConvKernels kKernels = {multiply};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

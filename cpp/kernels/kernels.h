// All kernels of one instruction set.
#pragma once

#include "base/isa.h"
#include "kernels/attention_masks/attention_masks.h"
#include "kernels/binary_conv/binary_conv.h"
#include "kernels/binary_gemm/binary_gemm.h"
#include "kernels/byte_gemm/byte_gemm.h"
#include "kernels/float_gemm/float_gemm.h"
#include "kernels/grid/grid.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/rows/rows.h"
#include "kernels/value_product/value_product.h"

namespace bitvit {

struct Kernels {
  RowsKernels rows;
  FloatGemmKernels float_gemm;
  ByteGemmKernels byte_gemm;
  BinaryGemmKernels binary_gemm;
  AttentionMasksKernels attention_masks;
  ValueProductKernels value_product;
  GridKernels grid;
  BinaryConvKernels binary_conv;
  PointwiseKernels pointwise;
};

// The instruction set must be available on this machine.
const Kernels& KernelsFor(Isa isa);

}  // namespace bitvit

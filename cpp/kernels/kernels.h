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
#include "kernels/popcount_peak/popcount_peak.h"
#include "kernels/rows/rows.h"
#include "kernels/value_product/value_product.h"

namespace bitvit {

struct Kernels {
#define BITVIT_KERNELS(name, Type) Type name;
#include "kernels/kernels.inc"
#undef BITVIT_KERNELS
};

// The instruction set must be available on this machine.
const Kernels& KernelsFor(Isa isa);

// For more than kValueProductMaxKeys keys: the portable kernels.
const ValueProductKernels& UnlimitedValueProduct();

}  // namespace bitvit

// BinaryGemmKernels::linear by linear_of<is the factor -2?>, which the including file has defined: the compiler knows
// the factor in each of the two.
#include "kernels/binary_gemm/binary_gemm.h"

namespace bitvit::BITVIT_ISA {
namespace {

void linear(const uint64_t* x, const void* packed, const BinaryLinearParameters& parameters, float* y, size_t y_stride,
            const BinaryGemmShape& shape, void* scratch) {
  if (parameters.factor == -2) {
    linear_of<true>(x, packed, parameters, y, y_stride, shape, scratch);
  } else {
    linear_of<false>(x, packed, parameters, y, y_stride, shape, scratch);
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

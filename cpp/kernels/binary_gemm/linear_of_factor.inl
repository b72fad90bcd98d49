// BinaryGemmKernels::linear by linear_of<is the factor -2?, is there another summand?>, which the including file has
// defined: the compiler knows both in each of the four.
#include "kernels/binary_gemm/binary_gemm.h"

namespace bitvit::BITVIT_ISA {
namespace {

void linear(const uint64_t* x, const void* packed, const BinaryLinearParameters& parameters, const float* other,
            float* y, size_t y_stride, const BinaryGemmShape& shape, void* scratch) {
  const bool is_sign = parameters.factor == -2, has_sum = other != nullptr;
  (is_sign   ? has_sum ? linear_of<true, true> : linear_of<true, false>
   : has_sum ? linear_of<false, true>
             : linear_of<false, false>)(x, packed, parameters, other, y, y_stride, shape, scratch);
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#pragma once

#include "ops/operands.h"

namespace bitvit {

// The parameter `weight` [O][K] in the layout of kernels/float_gemm/float_gemm.h.
inline AlignedBuffer PackFloatWeight(const Operands& operands, size_t n_outputs, size_t n_inputs) {
  const float* const weight = operands.Parameter("weight").as<float>();
  return operands.Layout("weight", [&] {
    AlignedBuffer packed(AlignUp(n_outputs, 16) * n_inputs * sizeof(float));
    for (size_t o = 0; o < n_outputs; ++o) {
      for (size_t k = 0; k < n_inputs; ++k) {
        packed.as<float>()[(o / 16 * n_inputs + k) * 16 + o % 16] = weight[o * n_inputs + k];
      }
    }
    return packed;
  });
}

}  // namespace bitvit

#pragma once

#include "base/aligned_buffer.h"

namespace bitvit {

// Weights [O][K] in the layout of kernels/float_gemm/float_gemm.h.
inline AlignedBuffer PackFloatWeight(const float* weight, size_t n_outputs, size_t n_inputs) {
  AlignedBuffer packed(AlignUp(n_outputs, 16) * n_inputs * sizeof(float));
  for (size_t o = 0; o < n_outputs; ++o) {
    for (size_t k = 0; k < n_inputs; ++k) {
      packed.as<float>()[(o / 16 * n_inputs + k) * 16 + o % 16] = weight[o * n_inputs + k];
    }
  }
  return packed;
}

}  // namespace bitvit

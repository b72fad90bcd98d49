// The kernel of float_gemm.h, once for every instruction set (kernels/vector.h).
#include "kernels/float_gemm/float_gemm.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

template <int kRows>
BITVIT_INLINE void block(const float* x, size_t x_stride, const float* weight, const f32x16& bias, float* y,
                         size_t y_stride, size_t n_inputs, size_t n_lanes) {
  f32x16 acc[kRows];
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) acc[r] = bias;
  for (size_t k = 0; k < n_inputs; ++k) {
    const f32x16 w = load(weight + k * 16);
    BITVIT_UNROLL
    for (int r = 0; r < kRows; ++r) acc[r] = acc[r] + broadcast(x[static_cast<size_t>(r) * x_stride + k]) * w;
  }
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) {
    float* const row = y + static_cast<size_t>(r) * y_stride;
    if (n_lanes == 16) {
      store(row, acc[r]);
    } else {
      store_first(row, acc[r], n_lanes);
    }
  }
}

void linear(const float* x, size_t x_stride, const float* packed_weight, const float* bias, float* y, size_t n_rows,
            size_t n_inputs, size_t n_outputs) {
  for (size_t o = 0; o < n_outputs; o += 16) {
    const float* const weight = packed_weight + o * n_inputs;
    const f32x16 b = load(bias + o);
    const size_t n_lanes = n_outputs - o < 16 ? n_outputs - o : 16;
    size_t r = 0;
    for (; r + 4 <= n_rows; r += 4) {
      block<4>(x + r * x_stride, x_stride, weight, b, y + r * n_outputs + o, n_outputs, n_inputs, n_lanes);
    }
    for (; r < n_rows; ++r) {
      block<1>(x + r * x_stride, x_stride, weight, b, y + r * n_outputs + o, n_outputs, n_inputs, n_lanes);
    }
  }
}

}  // namespace

const FloatGemmKernels& float_gemm_kernels() {
  static constexpr FloatGemmKernels kKernels = {linear};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

#include "kernels/byte_gemm/byte_gemm.h"

namespace bitvit::BITVIT_ISA {
namespace {

size_t packed_bytes(size_t n_inputs, size_t n_outputs) { return n_inputs * n_outputs; }

void pack(const int8_t* weight, size_t n_inputs, size_t n_outputs, void* packed) {
  __builtin_memcpy(packed, weight, packed_bytes(n_inputs, n_outputs));
}

void multiply(const uint8_t* x, size_t x_stride, const void* packed, int32_t* acc, size_t n_rows, size_t n_inputs,
              size_t n_outputs) {
  const size_t acc_stride = (n_outputs + 15) / 16 * 16;
  for (size_t r = 0; r < n_rows; ++r, x += x_stride, acc += acc_stride) {
    const int8_t* w = static_cast<const int8_t*>(packed);
    for (size_t o = 0; o < n_outputs; ++o, w += n_inputs) {
      int32_t sum = 0;
      for (size_t k = 0; k < n_inputs; ++k) sum += static_cast<int32_t>(x[k]) * w[k];
      acc[o] = sum;
    }
    for (size_t o = n_outputs; o < acc_stride; ++o) acc[o] = 0;
  }
}

}  // namespace

const ByteGemmKernels& byte_gemm_kernels() {
  static constexpr ByteGemmKernels kKernels = {packed_bytes, pack, multiply};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

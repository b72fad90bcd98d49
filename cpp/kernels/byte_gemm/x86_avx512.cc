// Groups of four inputs: vpdpbusd multiplies and adds them into int32 without saturation.
#include "kernels/byte_gemm/byte_gemm.h"
#include "kernels/byte_gemm/pack_groups.inl"
#include "kernels/wide_avx512.h"

namespace bitvit::avx512 {
namespace {

size_t packed_bytes(size_t n_inputs, size_t n_outputs) { return group_bytes<4>(n_inputs, n_outputs); }

void pack(const int8_t* weight, size_t n_inputs, size_t n_outputs, void* packed) {
  pack_groups<4>(weight, n_inputs, n_outputs, packed);
}

template <int kRows>
BITVIT_INLINE void block(const uint8_t* x, size_t x_stride, const int8_t* weight, int32_t* acc, size_t acc_stride,
                         size_t n_groups) {
  u32x16 sum[kRows];
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) sum[r] = u32x16{};
  for (size_t k = 0; k < n_groups; ++k) {
    const u32x16 w = load_wide(weight + 64 * k);
    BITVIT_UNROLL
    for (int r = 0; r < kRows; ++r) {
      uint32_t four;
      __builtin_memcpy(&four, x + static_cast<size_t>(r) * x_stride + 4 * k, sizeof(four));
      sum[r] = multiply_add_bytes(sum[r], broadcast_wide(four), w);
    }
  }
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) store_wide(acc + static_cast<size_t>(r) * acc_stride, sum[r]);
}

void multiply(const uint8_t* x, size_t x_stride, const void* packed, int32_t* acc, size_t n_rows, size_t n_inputs,
              size_t n_outputs) {
  const int8_t* const weight = static_cast<const int8_t*>(packed);
  const size_t acc_stride = (n_outputs + 15) / 16 * 16;
  const size_t n_groups = (n_inputs + 3) / 4;
  for (size_t o = 0; o < n_outputs; o += 16) {
    const int8_t* const w = weight + o * n_groups * 4;
    size_t r = 0;
    for (; r + 8 <= n_rows; r += 8) {
      block<8>(x + r * x_stride, x_stride, w, acc + r * acc_stride + o, acc_stride, n_groups);
    }
    for (; r < n_rows; ++r) block<1>(x + r * x_stride, x_stride, w, acc + r * acc_stride + o, acc_stride, n_groups);
  }
}

}  // namespace

const ByteGemmKernels& byte_gemm_kernels() {
  static constexpr ByteGemmKernels kKernels = {packed_bytes, pack, multiply};
  return kKernels;
}

}  // namespace bitvit::avx512

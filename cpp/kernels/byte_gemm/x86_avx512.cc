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

// kRows rows of 16 kVectors outputs.
template <int kRows, int kVectors>
BITVIT_INLINE void block(const uint8_t* x, size_t x_stride, const int8_t* weight, int32_t* acc, size_t acc_stride,
                         size_t n_groups) {
  u32x16 sum[kRows][kVectors];
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) {
    BITVIT_UNROLL
    for (int v = 0; v < kVectors; ++v) sum[r][v] = u32x16{};
  }
  for (size_t k = 0; k < n_groups; ++k) {
    u32x16 w[kVectors];
    BITVIT_UNROLL
    for (int v = 0; v < kVectors; ++v) w[v] = load_wide(weight + 64 * (static_cast<size_t>(v) * n_groups + k));
    BITVIT_UNROLL
    for (int r = 0; r < kRows; ++r) {
      uint32_t four;
      __builtin_memcpy(&four, x + static_cast<size_t>(r) * x_stride + 4 * k, sizeof(four));
      const u32x16 of_row = broadcast_wide(four);
      BITVIT_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[r][v] = multiply_add_bytes(sum[r][v], of_row, w[v]);
    }
  }
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) {
    BITVIT_UNROLL
    for (int v = 0; v < kVectors; ++v) store_wide(acc + static_cast<size_t>(r) * acc_stride + 16 * v, sum[r][v]);
  }
}

template <int kVectors>
BITVIT_INLINE void columns(const uint8_t* x, size_t x_stride, const int8_t* weight, int32_t* acc, size_t acc_stride,
                           size_t n_rows, size_t n_groups) {
  size_t r = 0;
  for (; r + 8 <= n_rows; r += 8) {
    block<8, kVectors>(x + r * x_stride, x_stride, weight, acc + r * acc_stride, acc_stride, n_groups);
  }
  for (; r < n_rows; ++r) {
    block<1, kVectors>(x + r * x_stride, x_stride, weight, acc + r * acc_stride, acc_stride, n_groups);
  }
}

void multiply(const uint8_t* x, size_t x_stride, const void* packed, int32_t* acc, size_t n_rows, size_t n_inputs,
              size_t n_outputs) {
  const int8_t* const weight = static_cast<const int8_t*>(packed);
  const size_t acc_stride = (n_outputs + 15) / 16 * 16;
  const size_t n_groups = (n_inputs + 3) / 4;
  size_t o = 0;
  for (; o + 16 < n_outputs; o += 32) {
    columns<2>(x, x_stride, weight + o * n_groups * 4, acc + o, acc_stride, n_rows, n_groups);
  }
  if (o < n_outputs) columns<1>(x, x_stride, weight + o * n_groups * 4, acc + o, acc_stride, n_rows, n_groups);
}

}  // namespace

const ByteGemmKernels& byte_gemm_kernels() {
  static constexpr ByteGemmKernels kKernels = {packed_bytes, pack, multiply};
  return kKernels;
}

}  // namespace bitvit::avx512

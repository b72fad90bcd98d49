// byte_gemm.h in blocks of 16 outputs. Where bytes can only be multiplied if both are signed, x - kOffset takes the
// place of x: sum x w = sum (x - kOffset) w + kOffset sum w. The including file has defined kGroup, kOffset and
//   Sum                         four sums of 32 bits,
//   Lanes, load_lanes(weight)   the weights of kGroup inputs for 16 outputs,
//   multiply_add(lanes, x, sum) adds the products of kGroup inputs of a row to its 16 sums.
// Weights as in pack_groups.inl, followed by kOffset * (sum of the weights) of each output.
#include "kernels/byte_gemm/byte_gemm.h"
#include "kernels/byte_gemm/pack_groups.inl"

namespace bitvit::BITVIT_ISA {
namespace {

size_t packed_bytes(size_t n_inputs, size_t n_outputs) {
  return group_bytes<kGroup>(n_inputs, n_outputs) + (n_outputs + 15) / 16 * 16 * sizeof(int32_t);
}

void pack(const int8_t* weight, size_t n_inputs, size_t n_outputs, void* packed) {
  pack_groups<kGroup>(weight, n_inputs, n_outputs, packed);
  int8_t* const behind = static_cast<int8_t*>(packed) + group_bytes<kGroup>(n_inputs, n_outputs);
  for (size_t o = 0; o < (n_outputs + 15) / 16 * 16; ++o) {
    int32_t sum = 0;
    for (size_t k = 0; o < n_outputs && k < n_inputs; ++k) sum += weight[o * n_inputs + k];
    sum *= kOffset;
    __builtin_memcpy(behind + o * sizeof(sum), &sum, sizeof(sum));
  }
}

// kRows rows of 16 outputs, which begin at `start`.
template <int kRows>
BITVIT_INLINE void multiply_block(const uint8_t* x, size_t x_stride, const int8_t* weight, const int32_t* start,
                                  int32_t* acc, size_t acc_stride, size_t n_groups) {
  Sum sum[kRows][4];
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) __builtin_memcpy(sum[r], start, sizeof(sum[r]));
  for (size_t k = 0; k < n_groups; ++k) {
    const Lanes lanes = load_lanes(weight + 16 * kGroup * k);
    BITVIT_UNROLL
    for (int r = 0; r < kRows; ++r) multiply_add(lanes, x + static_cast<size_t>(r) * x_stride + kGroup * k, sum[r]);
  }
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) {
    __builtin_memcpy(acc + static_cast<size_t>(r) * acc_stride, sum[r], sizeof(sum[r]));
  }
}

void multiply(const uint8_t* x, size_t x_stride, const void* packed, int32_t* acc, size_t n_rows, size_t n_inputs,
              size_t n_outputs) {
  const int8_t* const weight = static_cast<const int8_t*>(packed);
  const int32_t* const start = reinterpret_cast<const int32_t*>(weight + group_bytes<kGroup>(n_inputs, n_outputs));
  const size_t acc_stride = (n_outputs + 15) / 16 * 16, n_groups = (n_inputs + kGroup - 1) / kGroup;
  constexpr size_t kRows = 4;
  for (size_t o = 0; o < n_outputs; o += 16) {
    const int8_t* const w = weight + o * n_groups * kGroup;
    size_t r = 0;
    for (; r + kRows <= n_rows; r += kRows) {
      multiply_block<kRows>(x + r * x_stride, x_stride, w, start + o, acc + r * acc_stride + o, acc_stride, n_groups);
    }
    for (; r < n_rows; ++r) {
      multiply_block<1>(x + r * x_stride, x_stride, w, start + o, acc + r * acc_stride + o, acc_stride, n_groups);
    }
  }
}

}  // namespace

const ByteGemmKernels& byte_gemm_kernels() {
  static constexpr ByteGemmKernels kKernels = {packed_bytes, pack, multiply};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

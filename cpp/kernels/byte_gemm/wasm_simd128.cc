// Groups of two inputs, widened to 16 bits: dot_i16x8 multiplies them and adds the pairs.
#include "kernels/byte_gemm/byte_gemm.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

constexpr size_t kGroup = 2;
constexpr int32_t kOffset = 0;

template <int kRows>
BITVIT_INLINE void block(const uint8_t* x, size_t x_stride, const int8_t* weight, const int32_t* start, int32_t* acc,
                         size_t acc_stride, size_t n_groups) {
  v128_t sum[kRows][4];
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) {
    BITVIT_UNROLL
    for (int v = 0; v < 4; ++v) sum[r][v] = wasm_v128_load(start + 4 * v);
  }
  for (size_t k = 0; k < n_groups; ++k) {
    v128_t of_lanes[4];
    BITVIT_UNROLL
    for (int v = 0; v < 4; ++v) of_lanes[v] = wasm_i16x8_load8x8(weight + 32 * k + 8 * static_cast<size_t>(v));
    BITVIT_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const uint8_t* const pair = x + static_cast<size_t>(r) * x_stride + kGroup * k;
      const v128_t of_row = wasm_i32x4_splat(pair[0] | pair[1] << 16);
      BITVIT_UNROLL
      for (int v = 0; v < 4; ++v) sum[r][v] = wasm_i32x4_add(sum[r][v], wasm_i32x4_dot_i16x8(of_lanes[v], of_row));
    }
  }
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) {
    BITVIT_UNROLL
    for (int v = 0; v < 4; ++v) wasm_v128_store(acc + static_cast<size_t>(r) * acc_stride + 4 * v, sum[r][v]);
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/byte_gemm/blocks128.inl"

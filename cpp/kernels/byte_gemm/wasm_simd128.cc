// Groups of two inputs, widened to 16 bits: dot_i16x8 multiplies them and adds the pairs.
#include "kernels/byte_gemm/byte_gemm.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

using Sum = v128_t;
constexpr size_t kGroup = 2;
constexpr int32_t kOffset = 0;

struct Lanes {
  v128_t of[4];
};

BITVIT_INLINE Lanes load_lanes(const int8_t* weight) {
  return {{wasm_i16x8_load8x8(weight), wasm_i16x8_load8x8(weight + 8), wasm_i16x8_load8x8(weight + 16),
           wasm_i16x8_load8x8(weight + 24)}};
}

BITVIT_INLINE void multiply_add(const Lanes& lanes, const uint8_t* x, Sum (&sum)[4]) {
  const v128_t of_row = wasm_i32x4_splat(x[0] | x[1] << 16);
  BITVIT_UNROLL
  for (int v = 0; v < 4; ++v) sum[v] = wasm_i32x4_add(sum[v], wasm_i32x4_dot_i16x8(lanes.of[v], of_row));
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/byte_gemm/blocks128.inl"

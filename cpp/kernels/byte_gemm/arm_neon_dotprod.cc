// sdot: groups of four inputs, multiplied and added into 32 bits at once.
#include <arm_neon.h>

#include "kernels/byte_gemm/byte_gemm.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

using Sum = int32x4_t;
constexpr size_t kGroup = 4;
constexpr int32_t kOffset = 128;

struct Lanes {
  int8x16_t of[4];
};

BITVIT_INLINE Lanes load_lanes(const int8_t* weight) {
  return {{vld1q_s8(weight), vld1q_s8(weight + 16), vld1q_s8(weight + 32), vld1q_s8(weight + 48)}};
}

BITVIT_INLINE void multiply_add(const Lanes& lanes, const uint8_t* x, Sum (&sum)[4]) {
  uint32_t four;
  __builtin_memcpy(&four, x, sizeof(four));
  const int8x16_t of_row = vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u));
  BITVIT_UNROLL
  for (int v = 0; v < 4; ++v) sum[v] = vdotq_s32(sum[v], lanes.of[v], of_row);
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/byte_gemm/blocks128.inl"

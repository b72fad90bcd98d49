// Armv8.0: groups of two inputs, products of 16 bits added in pairs.
#include <arm_neon.h>

#include "kernels/byte_gemm/byte_gemm.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

using Sum = int32x4_t;
constexpr size_t kGroup = 2;
constexpr int32_t kOffset = 128;

struct Lanes {
  int8x16_t low, high;
};

BITVIT_INLINE Lanes load_lanes(const int8_t* weight) { return {vld1q_s8(weight), vld1q_s8(weight + 16)}; }

BITVIT_INLINE void multiply_add(const Lanes& lanes, const uint8_t* x, Sum (&sum)[4]) {
  uint16_t pair;
  __builtin_memcpy(&pair, x, sizeof(pair));
  const int8x16_t both = vreinterpretq_s8_u16(vdupq_n_u16(static_cast<uint16_t>(pair ^ 0x8080)));
  sum[0] = vpadalq_s16(sum[0], vmull_s8(vget_low_s8(lanes.low), vget_low_s8(both)));
  sum[1] = vpadalq_s16(sum[1], vmull_high_s8(lanes.low, both));
  sum[2] = vpadalq_s16(sum[2], vmull_s8(vget_low_s8(lanes.high), vget_low_s8(both)));
  sum[3] = vpadalq_s16(sum[3], vmull_high_s8(lanes.high, both));
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/byte_gemm/blocks128.inl"

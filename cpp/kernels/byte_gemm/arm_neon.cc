// Armv8.0: groups of two inputs, products of 16 bits added in pairs.
#include <arm_neon.h>

#include "kernels/byte_gemm/byte_gemm.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

constexpr size_t kGroup = 2;
constexpr int32_t kOffset = 128;

template <int kRows>
BITVIT_INLINE void block(const uint8_t* x, size_t x_stride, const int8_t* weight, const int32_t* start, int32_t* acc,
                         size_t acc_stride, size_t n_groups) {
  int32x4_t sum[kRows][4];
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) {
    BITVIT_UNROLL
    for (int v = 0; v < 4; ++v) sum[r][v] = vld1q_s32(start + 4 * v);
  }
  for (size_t k = 0; k < n_groups; ++k) {
    const int8x16_t low = vld1q_s8(weight + 32 * k), high = vld1q_s8(weight + 32 * k + 16);
    BITVIT_UNROLL
    for (int r = 0; r < kRows; ++r) {
      uint16_t pair;
      __builtin_memcpy(&pair, x + static_cast<size_t>(r) * x_stride + kGroup * k, sizeof(pair));
      const int8x16_t both = vreinterpretq_s8_u16(vdupq_n_u16(static_cast<uint16_t>(pair ^ 0x8080)));
      sum[r][0] = vpadalq_s16(sum[r][0], vmull_s8(vget_low_s8(low), vget_low_s8(both)));
      sum[r][1] = vpadalq_s16(sum[r][1], vmull_high_s8(low, both));
      sum[r][2] = vpadalq_s16(sum[r][2], vmull_s8(vget_low_s8(high), vget_low_s8(both)));
      sum[r][3] = vpadalq_s16(sum[r][3], vmull_high_s8(high, both));
    }
  }
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) {
    BITVIT_UNROLL
    for (int v = 0; v < 4; ++v) vst1q_s32(acc + static_cast<size_t>(r) * acc_stride + 4 * v, sum[r][v]);
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/byte_gemm/blocks128.inl"

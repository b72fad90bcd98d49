// sdot: groups of four inputs, multiplied and added into 32 bits at once.
#include <arm_neon.h>

#include "kernels/byte_gemm/byte_gemm.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

constexpr size_t kGroup = 4;
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
    int8x16_t of_lanes[4];
    BITVIT_UNROLL
    for (int v = 0; v < 4; ++v) of_lanes[v] = vld1q_s8(weight + 64 * k + 16 * v);
    BITVIT_UNROLL
    for (int r = 0; r < kRows; ++r) {
      uint32_t four;
      __builtin_memcpy(&four, x + static_cast<size_t>(r) * x_stride + kGroup * k, sizeof(four));
      const int8x16_t of_row = vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u));
      BITVIT_UNROLL
      for (int v = 0; v < 4; ++v) sum[r][v] = vdotq_s32(sum[r][v], of_lanes[v], of_row);
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

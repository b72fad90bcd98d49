// A lane of 32 bits collects its counts in 4 bytes, which are added up at the end.
#include "kernels/bytes128.inl"
#include "kernels/binary_conv/binary_conv.h"
#include "kernels/binary_conv/finish.inl"

namespace bitvit::BITVIT_ISA {
namespace {

constexpr BinaryConvRunKernels kRunKernels = {};

BITVIT_INLINE u32x4 add_bytes(u8x16 counts) {
  const u32x4 x = (u32x4)counts;
  const u32x4 pairs = (x & 0x00ff00ff) + (x >> 8 & 0x00ff00ff);
  return (pairs & 0xffff) + (pairs >> 16);
}

BITVIT_INLINE i32_lanes count_differing(const uint32_t* x, const uint32_t* weight, size_t n_units) {
  u32x4 total[4] = {};
  for (size_t begin = 0; begin < n_units; begin += kMaxByteSteps) {
    const size_t end = n_units - begin < kMaxByteSteps ? n_units : begin + kMaxByteSteps;
    u8x16 sum[4] = {};
    for (size_t u = begin; u < end; ++u, weight += 16) {
      const u8x16 bits = (u8x16)(u32x4{} + x[u]);
      BITVIT_UNROLL
      for (size_t i = 0; i < 4; ++i) sum[i] += popcount_bytes(bits ^ load_bytes(weight + 4 * i));
    }
    BITVIT_UNROLL
    for (size_t i = 0; i < 4; ++i) total[i] += add_bytes(sum[i]);
  }
  i32_lanes result;
  BITVIT_UNROLL
  for (size_t i = 0; i < 4; ++i) result.v[i] = (native_i32)total[i];
  return result;
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/binary_conv/binary_conv.inl"

#include "kernels/wide_avx512.h"

namespace bitvit::avx512 {
namespace {

struct i32_lanes {
  native_i32 v[kParts];
};

BITVIT_INLINE i32_lanes count_differing(const uint32_t* x, const uint32_t* weight, size_t n_units) {
  u32x16 sum = {}, other = {};
  size_t u = 0;
  for (; u + 2 <= n_units; u += 2, weight += 32) {
    sum += popcount_wide(broadcast_wide(x[u]) ^ load_wide(weight));
    other += popcount_wide(broadcast_wide(x[u + 1]) ^ load_wide(weight + 16));
  }
  if (u < n_units) sum += popcount_wide(broadcast_wide(x[u]) ^ load_wide(weight));
  sum += other;
  i32_lanes result;
  __builtin_memcpy(&result, &sum, sizeof(result));
  return result;
}

}  // namespace
}  // namespace bitvit::avx512

#include "kernels/binary_conv/binary_conv.inl"

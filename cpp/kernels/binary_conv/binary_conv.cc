#include "kernels/binary_conv/binary_conv.h"
#include "kernels/binary_conv/finish.inl"
#include "kernels/popcount.h"

namespace bitvit::BITVIT_ISA {
namespace {

constexpr BinaryConvRunKernels kRunKernels = {};

BITVIT_INLINE i32_lanes count_differing(const uint32_t* x, const uint32_t* weight, size_t n_units) {
  alignas(64) int32_t counts[16] = {};
  for (size_t u = 0; u < n_units; ++u, weight += 16) {
    for (int i = 0; i < 16; ++i) counts[i] += popcount(x[u] ^ weight[i]);
  }
  i32_lanes result;
  __builtin_memcpy(&result, counts, sizeof(result));
  return result;
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/binary_conv/binary_conv.inl"

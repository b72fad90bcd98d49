// The end of binary_conv.h for sixteen outputs, once for every instruction set (kernels/vector.h).
#pragma once

#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

struct i32_lanes {
  native_i32 v[kParts];
};

BITVIT_INLINE f32x16 finish(const i32_lanes& counts, const int32_t* offset, const float* scale, const float* bias) {
  f32x16 z;
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) {
    native_i32 part;
    __builtin_memcpy(&part, offset + i * kNativeLanes, sizeof(part));
    z.v[i] = __builtin_convertvector(part - 2 * counts.v[i], native_f32);
  }
  return z * load(scale) + load(bias);
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

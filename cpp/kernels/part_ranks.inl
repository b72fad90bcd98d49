// Neighbouring numbers brought to the same lane of different vectors.
#pragma once

#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

// v holds kRanks ranks one after the other, each the numbers whose places are equal modulo kRanks. Parts each of them
// into even and odd places until there are kGroup ranks of a vector each.
template <size_t kGroup, size_t kRanks>
BITVIT_INLINE void part_ranks(f32x16* v) {
  if constexpr (kRanks < kGroup) {
    constexpr size_t kVectors = kGroup / kRanks;  // of a rank
    f32x16 w[kGroup];
    BITVIT_UNROLL
    for (size_t rank = 0; rank < kRanks; ++rank) {
      BITVIT_UNROLL
      for (size_t i = 0; i < kVectors; i += 2) {
        const f32x16 &a = v[rank * kVectors + i], &b = v[rank * kVectors + i + 1];
        w[rank * kVectors / 2 + i / 2] = even_lanes(a, b);
        w[(rank + kRanks) * kVectors / 2 + i / 2] = odd_lanes(a, b);
      }
    }
    BITVIT_UNROLL
    for (size_t i = 0; i < kGroup; ++i) v[i] = w[i];
    part_ranks<kGroup, 2 * kRanks>(v);
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

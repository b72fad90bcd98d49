// Which rows of masks share a table look-up (nibble_avx2.inl, lane_counts_wasm.inl), which takes two at a time.
#pragma once

#include <cstddef>

#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

constexpr size_t kMaxMasks = 8;

// Row of a mask: of the first or second of two queries.
struct MaskRow {
  size_t query, mask;
};

// Row `member` of pair number `pair` of the rows of n_masks masks and two queries. Masks from the second on are as a
// rule sparse, and those of one query have their bits in the same places: two of them share their steps. Other masks
// are paired with themselves.
BITVIT_INLINE MaskRow mask_row(size_t n_masks, size_t pair, size_t member) {
  if (pair == 0) return {member, 0};
  if (pair == n_masks - 1 && n_masks % 2 == 0) return {member, pair};
  return {(pair - 1) % 2, (pair - 1) / 2 * 2 + 1 + member};
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

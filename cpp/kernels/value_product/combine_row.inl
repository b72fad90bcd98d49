// The end of value_product.h for one row, once for every instruction set (kernels/vector.h).
#pragma once

#include "kernels/value_product/value_product.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

// combine_row for kMasks masks and kPlanes planes; 0: as many as the shape says.
template <size_t kMasks, size_t kPlanes, typename Term>
BITVIT_INLINE void combine_terms(const ValueShape& shape, const float* row_scale, const float* column_scale, float* y,
                                 Term term) {
  const size_t n_masks = kMasks != 0 ? kMasks : shape.n_masks, n_planes = kPlanes != 0 ? kPlanes : shape.n_planes;
  const size_t n_heads = shape.n_heads, width = shape.head_dim;
  for (size_t d = 0; d < width; d += 16) {
    f32x16 sum = broadcast(0.0f);
    BITVIT_UNROLL
    for (size_t i = 0; i < n_masks; ++i) {
      f32x16 r = broadcast(column_scale[0]) * term(i, 0, d);
      BITVIT_UNROLL
      for (size_t j = 1; j < n_planes; ++j) r = r + broadcast(column_scale[j]) * term(i, j, d);
      const f32x16 scaled = broadcast(row_scale[i * n_heads]) * r;
      sum = i == 0 ? scaled : sum + scaled;
    }
    if (width - d >= 16) {
      store(y + d, sum);
    } else {
      store_first(y + d, sum, width - d);
    }
  }
}

// y[0..head_dim) of one row from its terms: term(i, j, d) gives f32(T_ij) of the channels d..d+15 (garbage beyond the
// last).
template <typename Term>
BITVIT_INLINE void combine_row(const ValueShape& shape, const float* row_scale, const float* column_scale, float* y,
                               Term term) {
  if (shape.n_masks == 3 && shape.n_planes == 3) {  // the networks of the paper
    combine_terms<3, 3>(shape, row_scale, column_scale, y, term);
  } else {
    combine_terms<0, 0>(shape, row_scale, column_scale, y, term);
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

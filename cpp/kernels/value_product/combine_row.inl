// The end of value_product.h for one row, once for every instruction set (kernels/vector.h).
#include "kernels/value_product/value_product.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

// y[0..head_dim) of one row from its terms: term(i, j, d) gives f32(T_ij) of the channels d..d+15 (garbage beyond the
// last).
template <typename Term>
BITVIT_INLINE void combine_row(const ValueShape& shape, const float* row_scale, const float* column_scale, float* y,
                               Term term) {
  const size_t n_masks = shape.n_masks, n_planes = shape.n_planes, n_heads = shape.n_heads, width = shape.head_dim;
  for (size_t d = 0; d < width; d += 16) {
    f32x16 sum;
    for (size_t i = 0; i < n_masks; ++i) {
      f32x16 r = broadcast(column_scale[0]) * term(i, 0, d);
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

}  // namespace
}  // namespace bitvit::BITVIT_ISA

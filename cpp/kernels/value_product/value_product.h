// Ternary planes of V, and their products with the {0,1} planes of the attention (docs/format.md, value_planes,
// value_product).
//
//   T_ij[n][d] = popcount(A_i[n] & P_j[d]) - popcount(A_i[n] & Q_j[d])  (bits along the keys; P "is +1", Q "is -1")
//   y[n][d] = sum_i row_scale[i] * (sum_j column_scale[j] * f32(T_ij)), in the order of docs/format.md
//
// 16-bit sums limit the keys to kValueProductMaxKeys (UnlimitedValueProduct() has no limit).
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit {

inline constexpr size_t kValueProductMaxKeys = 32767;

struct ValueShape {
  size_t n_masks, n_planes, n_heads, n_queries, head_dim, n_keys;
  bool first_plane_is_sign;  // plane 0 has no zeros: P_0 = not Q_0
};

struct ValueProductKernels {
  size_t (*packed_bytes)(const ValueShape& shape);  // of one head
  // planes: the whole value [2][n_planes][n_heads][head_dim] rows of BitWords(n_keys) words.
  void (*pack)(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed);
  // Scratch, aligned to 64 bytes, that one call of `product` needs.
  size_t (*scratch_bytes)(const ValueShape& shape);
  // Rows first..first + n_rows - 1 of a head. masks: the whole value [n_masks][n_heads][n_queries] rows; row_scale:
  // [n_masks][n_heads]; y: all heads' output [n_queries][n_heads * head_dim].
  void (*product)(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
                  const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch);
  // Largest and smallest v - offset of n elements.
  void (*extremes)(const float* v, float offset, size_t n, float* largest, float* smallest);
  // Planes of the channels begin..end-1 of v [n_keys][n_channels]: the sign of v - offset, and that sign where
  // v - offset > high[i] or < low[i]. Writes rows begin..end-1 of out [2][n_planes][n_channels] rows; n_planes = 1 +
  // size of high.
  void (*planes)(const float* v, float offset, const float* high, const float* low, size_t n_planes, size_t n_keys,
                 size_t n_channels, size_t begin, size_t end, uint64_t* out);
};

}  // namespace bitvit

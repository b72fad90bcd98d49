// Channels in the lanes of the table lookup (kernels/nibble_avx2.inl): for each plane its "is +1" and "is -1" bits, D lanes each. The
// first plane of V has no zeros as a rule; then T_0 = popcount(A) - 2 popcount(A & Q_0), and only Q_0 takes lanes.
#define BITVIT_ISA avx2
#include "kernels/nibble_avx2.inl"
#include "kernels/value_product/combine_row.inl"

namespace bitvit::avx2 {
namespace {

constexpr size_t kQueries = 4;  // at a time

size_t words(const ValueShape& shape) { return (shape.n_keys + 63) / 64; }

size_t n_lanes(const ValueShape& shape) {
  return (2 * shape.n_planes - (shape.first_plane_is_sign ? 1 : 0)) * shape.head_dim;
}

size_t count_stride(const ValueShape& shape) { return (n_lanes(shape) + kLanes - 1) / kLanes * kLanes + 16; }

size_t packed_bytes(const ValueShape& shape) { return packed_lane_bytes(shape.n_keys, n_lanes(shape)); }

void pack(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed) {
  const size_t n_words = words(shape);
  const auto get_row = [=](size_t lane) {
    const size_t d = lane % shape.head_dim;
    const size_t part = lane / shape.head_dim + (shape.first_plane_is_sign ? 1 : 0);  // P_0, Q_0, P_1, Q_1, ...
    return planes + (((part % 2 * shape.n_planes + part / 2) * shape.n_heads + head) * shape.head_dim + d) * n_words;
  };
  pack_lanes(get_row, shape.n_keys, n_lanes(shape), static_cast<uint8_t*>(packed));
}

size_t scratch_bytes(const ValueShape& shape) {
  const size_t n_rows = kQueries * shape.n_masks;
  return (n_rows * count_stride(shape) * 2 + 63) / 64 * 64 + n_rows * step_stride(shape.n_keys);
}

void product(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
             const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const size_t n_words = words(shape), n_steps = nibble_steps(shape.n_keys);
  const size_t stride = step_stride(shape.n_keys), out_stride = count_stride(shape), width = shape.head_dim;
  uint16_t* const counts = static_cast<uint16_t*>(scratch);
  uint8_t* const steps =
      static_cast<uint8_t*>(scratch) + (kQueries * shape.n_masks * out_stride * 2 + 63) / 64 * 64;
  for (size_t q = 0; q < n_rows; q += kQueries) {
    const size_t n_queries = n_rows - q < kQueries ? n_rows - q : kQueries;
    const size_t n_mask_rows = n_queries * shape.n_masks;
    float ones[kQueries * 8];
    for (size_t r = 0; r < n_mask_rows; ++r) {
      const size_t i = r % shape.n_masks, n = first + q + r / shape.n_masks;
      const uint64_t* const mask = masks + ((i * shape.n_heads + head) * shape.n_queries + n) * n_words;
      expand_row(mask, shape.n_keys, steps + r * stride);
      int32_t count = 0;
      for (size_t w = 0; w < n_words; ++w) count += popcount(mask[w]);
      ones[r] = static_cast<float>(count);
    }
    const uint8_t* lanes = static_cast<const uint8_t*>(packed);
    for (size_t l = 0; l < n_lanes(shape); l += kLanes, lanes += n_steps * kLanes) {
      for (size_t r = 0; r < n_mask_rows; r += kMaxRows) {
        count_rows(steps + r * stride, stride, lanes, n_steps, kAndTable, counts + r * out_stride + l, out_stride,
                   n_mask_rows - r < kMaxRows ? n_mask_rows - r : kMaxRows);
      }
    }
    for (size_t query = 0; query < n_queries; ++query) {
      const uint16_t* const rows = counts + query * shape.n_masks * out_stride;
      const float* const row_ones = ones + query * shape.n_masks;
      const size_t n = first + q + query;
      combine_row(shape, row_scale + head, column_scale, y + (n * shape.n_heads + head) * width,
                  [=](size_t i, size_t j, size_t d) __attribute__((always_inline)) {
                    const uint16_t* const row = rows + i * out_stride + d;
                    if (!shape.first_plane_is_sign) {
                      return load_converted(row + 2 * j * width) - load_converted(row + (2 * j + 1) * width);
                    }
                    if (j == 0) {
                      const f32x16 negative = load_converted(row);
                      return broadcast(row_ones[i]) - (negative + negative);
                    }
                    return load_converted(row + (2 * j - 1) * width) - load_converted(row + 2 * j * width);
                  });
    }
  }
}

}  // namespace
}  // namespace bitvit::avx2

#include "kernels/value_product/value_product.inl"

// Channels in the lanes of the table lookup (kernels/nibble_avx2.inl): for each plane its "is +1" and "is -1" bits, D
// lanes each. The first plane of V has no zeros as a rule; then T_0 = popcount(A) - 2 popcount(A & Q_0), and only Q_0
// takes lanes.
#define BITVIT_ISA avx2
#include "kernels/nibble_avx2.inl"
#include "kernels/value_product/combine_row.inl"

namespace bitvit::avx2 {
namespace {

constexpr size_t kMaxMasks = 8;

size_t words(const ValueShape& shape) { return (shape.n_keys + 63) / 64; }

size_t n_lanes(const ValueShape& shape) {
  return (2 * shape.n_planes - (shape.first_plane_is_sign ? 1 : 0)) * shape.head_dim;
}

Strips strips_of(const ValueShape& shape) { return Strips(n_lanes(shape), kMaxStrips); }

size_t count_stride(const ValueShape& shape) { return strips_of(shape).n_lanes() + 16; }

size_t packed_bytes(const ValueShape& shape) { return packed_lane_bytes(shape.n_keys, n_lanes(shape)); }

void pack(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed) {
  const size_t n_words = words(shape);
  const auto get_row = [=](size_t lane) {
    const size_t d = lane % shape.head_dim;
    const size_t part = lane / shape.head_dim + (shape.first_plane_is_sign ? 1 : 0);  // P_0, Q_0, P_1, Q_1, ...
    return planes + (((part % 2 * shape.n_planes + part / 2) * shape.n_heads + head) * shape.head_dim + d) * n_words;
  };
  pack_lanes(get_row, shape.n_keys, n_lanes(shape), strips_of(shape), static_cast<uint8_t*>(packed));
}

// Counts of one query, then the steps of one mask and the list of those that are not 0.
size_t scratch_bytes(const ValueShape& shape) {
  return (shape.n_masks * count_stride(shape) * 2 + 63) / 64 * 64 + step_stride(shape.n_keys) * 3 + 64;
}

// Sixteen counts as 16-bit numbers.
BITVIT_INLINE __m256i load_counts(const uint8_t* p) {
  return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
BITVIT_INLINE __m256i load_counts(const uint16_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

BITVIT_INLINE f32x16 to_floats(const __m256i& x) {
  f32x16 r;
  r.v[0] = (native_f32)_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm256_castsi256_si128(x)));
  r.v[1] = (native_f32)_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm256_extracti128_si256(x, 1)));
  return r;
}

// Counts as bytes where no sum can exceed 255, else as 16-bit numbers.
template <typename Count>
BITVIT_INLINE void product_of(const uint64_t* masks, const uint8_t* lanes, const ValueShape& shape,
                              const float* row_scale, const float* column_scale, size_t head, size_t first,
                              size_t n_rows, float* y, void* scratch) {
  const size_t n_words = words(shape), n_steps = nibble_steps(shape.n_keys);
  const size_t stride = count_stride(shape), width = shape.head_dim;
  const Strips strips = strips_of(shape);
  const bool is_sign = shape.first_plane_is_sign;
  Count* const counts = static_cast<Count*>(scratch);
  uint8_t* const steps = static_cast<uint8_t*>(scratch) + (shape.n_masks * stride * 2 + 63) / 64 * 64;
  uint16_t* const list = reinterpret_cast<uint16_t*>(steps + step_stride(shape.n_keys));
  for (size_t n = first; n < first + n_rows; ++n) {
    int16_t ones[kMaxMasks];
    for (size_t i = 0; i < shape.n_masks; ++i) {
      const uint64_t* const mask = masks + ((i * shape.n_heads + head) * shape.n_queries + n) * n_words;
      expand_row(mask, shape.n_keys, steps);
      const size_t n_used = list_steps(steps, n_words, list);  // the others would add 0
      const bool is_dense = n_used * 8 > n_steps * 7;
      count_all(steps, is_dense ? nullptr : list, is_dense ? n_steps : n_used, lanes, strips, n_steps, kAndTable,
                counts + i * stride);
      int32_t count = 0;
      for (size_t w = 0; w < n_words; ++w) count += popcount(mask[w]);
      ones[i] = static_cast<int16_t>(count);
    }
    combine_row(
        shape, row_scale + head, column_scale, y + (n * shape.n_heads + head) * width,
        [=](size_t i, size_t j, size_t d) __attribute__((always_inline)) {
          const Count* const row = counts + i * stride + d;
          if (is_sign && j == 0) {
            const __m256i negative = load_counts(row);
            return to_floats(_mm256_sub_epi16(_mm256_set1_epi16(ones[i]), _mm256_add_epi16(negative, negative)));
          }
          const Count* const positive = row + (2 * j - (is_sign ? 1 : 0)) * width;
          return to_floats(_mm256_sub_epi16(load_counts(positive), load_counts(positive + width)));
        });
  }
}

void product(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
             const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const uint8_t* const lanes = static_cast<const uint8_t*>(packed);
  if (nibble_steps(shape.n_keys) <= kMaxByteSteps) {
    product_of<uint8_t>(masks, lanes, shape, row_scale, column_scale, head, first, n_rows, y, scratch);
  } else {
    product_of<uint16_t>(masks, lanes, shape, row_scale, column_scale, head, first, n_rows, y, scratch);
  }
}

}  // namespace
}  // namespace bitvit::avx2

#include "kernels/value_product/value_product.inl"

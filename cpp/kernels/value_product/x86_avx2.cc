// Channels in the lanes of the table lookup (kernels/nibble_avx2.inl): for each plane its "is +1" and "is -1" bits, D
// lanes each. The first plane of V has no zeros as a rule; then T_0 = popcount(A) - 2 popcount(A & Q_0), and only Q_0
// takes lanes.
#include "kernels/nibble_avx2.inl"
#include "kernels/value_product/combine_row.inl"
#include "kernels/value_product/mask_pairs.inl"

namespace bitvit::avx2 {
namespace {

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

// Counts of two queries, then the steps of two rows of masks and their numbers.
size_t scratch_bytes(const ValueShape& shape) {
  return (2 * shape.n_masks * count_stride(shape) * 2 + 63) / 64 * 64 + 4 * (pair_steps(shape.n_keys) + 32);
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
template <typename Count, bool kIsSign>
void product_of(const uint64_t* masks, const uint8_t* lanes, const ValueShape& shape, const float* row_scale,
                const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const size_t n_words = words(shape), n_steps = nibble_steps(shape.n_keys), n_masks = shape.n_masks;
  const size_t stride = count_stride(shape), width = shape.head_dim;
  const Strips strips = strips_of(shape);
  Count* const counts = static_cast<Count*>(scratch);  // [query][mask][lane]
  uint16_t* const places =
      reinterpret_cast<uint16_t*>(static_cast<uint8_t*>(scratch) + (2 * n_masks * stride * 2 + 63) / 64 * 64);
  uint16_t* const list = places + pair_steps(shape.n_keys) + 32;
  for (size_t n = first; n < first + n_rows; n += 2) {
    const size_t n_queries = first + n_rows - n < 2 ? 1 : 2;
    int16_t ones[2 * kMaxMasks];
    for (size_t pair = 0; pair < n_masks; ++pair) {
      const uint64_t* bits[2];
      Count* out[2];
      size_t n_ones = 0;
      for (size_t member = 0; member < 2; ++member) {
        const MaskRow row = mask_row(n_masks, pair, member);
        // The second of one query is the first once more.
        const size_t query = row.query < n_queries ? n + row.query : n;
        bits[member] = masks + ((row.mask * shape.n_heads + head) * shape.n_queries + query) * n_words;
        out[member] = counts + (row.query * n_masks + row.mask) * stride;
        size_t count = 0;
        for (size_t w = 0; w < n_words; ++w) count += static_cast<size_t>(popcount(bits[member][w]));
        ones[row.query * n_masks + row.mask] = static_cast<int16_t>(count);
        n_ones += count;
      }
      if (2 * n_ones > shape.n_keys) {  // nearly all steps have a bit
        expand_pair(bits[0], bits[1], shape.n_keys, places);
        count_all({places, nullptr}, n_steps, lanes, strips, n_steps, kAndTable, out[0], out[1]);
      } else {  // the other steps would add 0
        const size_t n_used = expand_used(bits[0], bits[1], n_words, places, list);
        count_all({places, list}, n_used, lanes, strips, n_steps, kAndTable, out[0], out[1]);
      }
    }
    for (size_t query = 0; query < n_queries; ++query) {
      const Count* const of_query = counts + query * n_masks * stride;
      const int16_t* const ones_of_query = ones + query * n_masks;
      combine_row(shape, row_scale + head, column_scale, y + ((n + query) * shape.n_heads + head) * width,
                  [=](size_t i, size_t j, size_t d) __attribute__((always_inline)) {
                    const Count* const row = of_query + i * stride + d;
                    if (kIsSign && j == 0) {
                      const __m256i negative = load_counts(row);
                      return to_floats(
                          _mm256_sub_epi16(_mm256_set1_epi16(ones_of_query[i]), _mm256_add_epi16(negative, negative)));
                    }
                    const Count* const positive = row + (2 * j - (kIsSign ? 1 : 0)) * width;
                    return to_floats(_mm256_sub_epi16(load_counts(positive), load_counts(positive + width)));
                  });
    }
  }
}

void product(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
             const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const uint8_t* const lanes = static_cast<const uint8_t*>(packed);
  const bool is_small = nibble_steps(shape.n_keys) <= kMaxByteSteps, is_sign = shape.first_plane_is_sign;
  const auto run = is_small  ? is_sign ? product_of<uint8_t, true> : product_of<uint8_t, false>
                   : is_sign ? product_of<uint16_t, true>
                             : product_of<uint16_t, false>;
  run(masks, lanes, shape, row_scale, column_scale, head, first, n_rows, y, scratch);
}

}  // namespace
}  // namespace bitvit::avx2

#include "kernels/value_product/value_product.inl"

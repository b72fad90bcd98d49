// 64 channels and four rows at a time (kernels/bytes128.inl). A sign plane needs one count instead of two: where
// P = not Q, T = popcount(A) - 2 popcount(A & Q).
#include "kernels/bytes128.inl"
#include "kernels/value_product/combine_row.inl"

namespace bitvit::BITVIT_ISA {
namespace {

constexpr size_t kPositive = 0, kNegative = 1;

size_t side_bytes(const ValueShape& shape) { return packed_lane_bytes(shape.n_keys, shape.head_dim); }

bool is_sign_plane(const ValueShape& shape, size_t j) { return j == 0 && shape.first_plane_is_sign; }

// [n_planes][side][block of 64 channels][step][64]
size_t packed_bytes(const ValueShape& shape) { return shape.n_planes * 2 * side_bytes(shape); }

void pack(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed) {
  const size_t n_words = (shape.n_keys + 63) / 64;
  uint8_t* out = static_cast<uint8_t*>(packed);
  for (size_t j = 0; j < shape.n_planes; ++j) {
    for (size_t side = 0; side < 2; ++side, out += side_bytes(shape)) {
      const size_t row = ((side * shape.n_planes + j) * shape.n_heads + head) * shape.head_dim;
      pack_lanes([=](size_t d) __attribute__((always_inline)) { return planes + (row + d) * n_words; }, shape.n_keys,
                 shape.head_dim, out);
    }
  }
}

size_t term_stride(const ValueShape& shape) { return lane_blocks(shape.head_dim) * kBlockLanes; }

size_t scratch_bytes(const ValueShape& shape) {
  return kRowsAtOnce * shape.n_masks * shape.n_planes * term_stride(shape) * sizeof(float);
}

// terms[r * row_stride + lane] = f32(T) of a block.
BITVIT_INLINE void write_terms(size_t n_rows, const uint64_t* mask, size_t n_words, const uint8_t* lanes,
                               const ValueShape& shape, size_t j, float* terms, size_t row_stride) {
  alignas(64) uint16_t negative[kRowsAtOnce * kBlockLanes], positive[kRowsAtOnce * kBlockLanes];
  const size_t n_steps = lane_steps(shape.n_keys);
  count_block<CommonBits>(n_rows, mask, n_words * 8, lanes + kNegative * side_bytes(shape), n_steps, negative);
  const bool is_sign = is_sign_plane(shape, j);
  if (!is_sign) {
    count_block<CommonBits>(n_rows, mask, n_words * 8, lanes + kPositive * side_bytes(shape), n_steps, positive);
  }
  for (size_t r = 0; r < n_rows; ++r) {
    int32_t ones = 0;
    for (size_t w = 0; is_sign && w < n_words; ++w) ones += popcount(mask[r * n_words + w]);
    const f32x16 all = broadcast(static_cast<float>(ones)), twice = broadcast(2.0f);
    for (size_t i = 0; i < kBlockLanes; i += 16) {
      const f32x16 minus = load_converted(negative + r * kBlockLanes + i);
      const f32x16 term = is_sign ? all - twice * minus : load_converted(positive + r * kBlockLanes + i) - minus;
      store(terms + r * row_stride + i, term);
    }
  }
}

void product(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
             const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const size_t n_words = (shape.n_keys + 63) / 64, stride = term_stride(shape);
  const size_t row_terms = shape.n_masks * shape.n_planes * stride;
  float* const terms = static_cast<float*>(scratch);
  for (size_t n = first; n < first + n_rows; n += kRowsAtOnce) {
    const size_t count = first + n_rows - n < kRowsAtOnce ? first + n_rows - n : kRowsAtOnce;
    for (size_t i = 0; i < shape.n_masks; ++i) {
      const uint64_t* const mask = masks + ((i * shape.n_heads + head) * shape.n_queries + n) * n_words;
      for (size_t j = 0; j < shape.n_planes; ++j) {
        const uint8_t* lanes = static_cast<const uint8_t*>(packed) + j * 2 * side_bytes(shape);
        float* out = terms + (i * shape.n_planes + j) * stride;
        for (size_t block = 0; block < lane_blocks(shape.head_dim); ++block, out += kBlockLanes) {
          write_terms(count, mask, n_words, lanes, shape, j, out, row_terms);
          lanes += lane_steps(shape.n_keys) * kBlockLanes;
        }
      }
    }
    for (size_t r = 0; r < count; ++r) {
      const float* const of_row = terms + r * row_terms;
      combine_row(shape, row_scale + head, column_scale, y + ((n + r) * shape.n_heads + head) * shape.head_dim,
                  [=](size_t i, size_t j, size_t d)
                      __attribute__((always_inline)) { return load(of_row + (i * shape.n_planes + j) * stride + d); });
    }
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/value_product/value_product.inl"

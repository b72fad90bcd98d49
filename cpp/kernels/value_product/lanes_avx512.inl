// value_product.h for any number of keys: sixteen channels in the lanes of VPOPCNTD (kernels/lanes_avx512.inl), one
// product a plane:
//   T = popcount(A ? P : Q) - popcount(Q),  since A ? P : Q has the bits of A & P and of Q outside A.
// The words of P and Q stay in registers while the rows of the masks stream past.
#pragma once

#include "kernels/lanes_avx512.inl"
#include "kernels/value_product/combine_row.inl"

namespace bitvit::avx512 {
namespace {

constexpr size_t kRowBlock = 32;      // rows of masks at a time, so that their terms stay in the first-level cache
constexpr size_t kMaxPlaneWords = 8;  // of P and of Q

size_t words(const ValueShape& shape) { return (shape.n_keys + 63) / 64; }

size_t width_blocks(const ValueShape& shape) { return (shape.head_dim + kLanes - 1) / kLanes; }

// [n_planes][width_blocks]: 16 counts of Q, then n_words x 16 words of P, then of Q.
size_t block_words(const ValueShape& shape) { return (1 + 2 * half_words(shape.n_keys)) * kLanes; }

size_t lane_packed_bytes(const ValueShape& shape) {
  return shape.n_planes * width_blocks(shape) * block_words(shape) * 4;
}

void pack_in_lanes(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed) {
  const size_t n_words = words(shape), n_half = half_words(shape.n_keys);
  uint32_t* out = static_cast<uint32_t*>(packed);
  for (size_t j = 0; j < shape.n_planes; ++j) {
    const uint64_t* const p = planes + (j * shape.n_heads + head) * shape.head_dim * n_words;
    const uint64_t* const q = p + shape.n_planes * shape.n_heads * shape.head_dim * n_words;
    for (size_t d = 0; d < shape.head_dim; d += kLanes, out += block_words(shape)) {
      const size_t n = shape.head_dim - d < kLanes ? shape.head_dim - d : kLanes;
      uint32_t* const q_out = out + (1 + n_half) * kLanes;
      pack_lanes([=](size_t l) { return p + (d + l) * n_words; }, shape.n_keys, n, out + kLanes);
      pack_lanes([=](size_t l) { return q + (d + l) * n_words; }, shape.n_keys, n, q_out);
      u32x16 count = {};
      for (size_t w = 0; w < n_half; ++w) count += popcount_wide(load_wide(q_out + w * kLanes));
      store_wide(out, count);
    }
  }
}

size_t term_stride(const ValueShape& shape) { return shape.n_planes * width_blocks(shape) * kLanes; }

size_t lane_scratch_bytes(const ValueShape& shape) { return (kRowBlock + 8) * term_stride(shape) * 2; }

// Rows of masks: for each of n_masks masks, n_queries rows of `row_words` words from rows + i * mask_words.
struct MaskRows {
  const uint64_t* rows;
  size_t mask_words, row_words, n_masks, n_queries;
};

// terms (+)= popcounts of all mask rows in turn against kWords words of P and Q; the first words start from minus the
// counts of Q.
template <size_t kWords>
BITVIT_INLINE void count_selected(const MaskRows& masks, size_t first_word, const uint32_t* p, const uint32_t* q,
                                  const uint32_t* q_counts, int16_t* term, size_t stride) {
  u32x16 p_words[kWords], q_words[kWords];
  BITVIT_UNROLL
  for (size_t w = 0; w < kWords; ++w) {
    p_words[w] = load_wide(p + (first_word + w) * kLanes);
    q_words[w] = load_wide(q + (first_word + w) * kLanes);
  }
  const u32x16 start = -load_wide(q_counts);
  for (size_t i = 0; i < masks.n_masks; ++i) {
    const char* row = reinterpret_cast<const char*>(masks.rows + i * masks.mask_words) + 4 * first_word;
    for (size_t n = 0; n < masks.n_queries; ++n, row += 8 * masks.row_words, term += stride) {
      u32x16 sum = first_word == 0 ? start : load_i16_wide(term);
      BITVIT_UNROLL
      for (size_t w = 0; w < kWords; ++w) {
        sum += popcount_wide(select_wide(broadcast_half_word(row, w), p_words[w], q_words[w]));
      }
      store_u16_wide(reinterpret_cast<uint16_t*>(term), sum);
    }
  }
}

void product_in_lanes(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
                      const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const size_t n_words = words(shape), n_half = half_words(shape.n_keys);
  const size_t stride = term_stride(shape), width = width_blocks(shape) * kLanes;
  int16_t* const terms = static_cast<int16_t*>(scratch);
  const size_t block = kRowBlock / shape.n_masks < 1 ? 1 : kRowBlock / shape.n_masks;
  for (size_t q0 = 0; q0 < n_rows; q0 += block) {
    const size_t n_queries = n_rows - q0 < block ? n_rows - q0 : block;
    const MaskRows rows = {masks + (head * shape.n_queries + first + q0) * n_words,
                           shape.n_heads * shape.n_queries * n_words, n_words, shape.n_masks, n_queries};
    const uint32_t* lanes = static_cast<const uint32_t*>(packed);
    for (size_t b = 0; b < stride; b += kLanes, lanes += block_words(shape)) {
      for (size_t w = 0; w < n_half; w += kMaxPlaneWords) {
        with_word_count(n_half - w < kMaxPlaneWords ? n_half - w : kMaxPlaneWords,
                        [&](auto count) __attribute__((always_inline)) {
                          constexpr size_t kWords = decltype(count)::value;
                          if constexpr (kWords <= kMaxPlaneWords) {
                            count_selected<kWords>(rows, w, lanes + kLanes, lanes + (1 + n_half) * kLanes, lanes,
                                                   terms + b, stride);
                          }
                        });
      }
    }
    for (size_t query = 0; query < n_queries; ++query) {
      combine_row(shape, row_scale + head, column_scale,
                  y + ((first + q0 + query) * shape.n_heads + head) * shape.head_dim,
                  [=](size_t i, size_t j, size_t d) __attribute__((always_inline)) {
                    return load_converted(terms + (i * n_queries + query) * stride + j * width + d);
                  });
    }
  }
}

}  // namespace
}  // namespace bitvit::avx512

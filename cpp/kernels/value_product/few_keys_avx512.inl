// value_product.h for one plane of signs and up to 64 keys: sixteen channels in the lanes of VPOPCNTD, two words of
// each, which stay in registers for 64 channels while the rows of all masks stream past:
//   T = popcount(A ^ Q) - popcount(Q).
#pragma once

#include "kernels/value_product/value_product.h"
#include "kernels/wide_avx512.h"

namespace bitvit::avx512 {
namespace {

constexpr size_t kMaxFewKeys = 64;
constexpr size_t kFewLanes = 16, kFewBlocks = 4;  // in registers
constexpr size_t kFewBlockWords = 3 * kFewLanes;  // minus the counts of Q, and its words

bool has_few_keys(const ValueShape& shape) {
  return shape.first_plane_is_sign && shape.n_planes == 1 && shape.n_keys <= kMaxFewKeys;
}

size_t few_packed_bytes(const ValueShape& shape) {
  return (shape.head_dim + kFewLanes - 1) / kFewLanes * kFewBlockWords * sizeof(uint32_t);
}

// [block][3][16]
void pack_few(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed) {
  const uint64_t* const q = planes + (shape.n_heads + head) * shape.head_dim;
  uint32_t* out = static_cast<uint32_t*>(packed);
  for (size_t d = 0; d < shape.head_dim; d += kFewLanes, out += kFewBlockWords) {
    const size_t n = shape.head_dim - d < kFewLanes ? shape.head_dim - d : kFewLanes;
    const size_t n_first = n < 8 ? n : 8;
    const f32x16 first = to_lanes((wide_f32)load_first_wide(q + d, 2 * n_first));
    const f32x16 second = to_lanes((wide_f32)load_first_wide(q + d + n_first, 2 * (n - n_first)));
    const f32x16 words[2] = {even_lanes(first, second), odd_lanes(first, second)};
    u32x16 count = {};
    for (size_t w = 0; w < 2; ++w) {
      __builtin_memcpy(out + (1 + w) * kFewLanes, &words[w], sizeof(words[w]));
      count += popcount_wide(load_wide(out + (1 + w) * kFewLanes));
    }
    store_wide(out, -count);
  }
}

// kBlocks blocks of channels, the last of which has n_last.
template <size_t kBlocks>
BITVIT_INLINE void add_few(const uint64_t* masks, const uint32_t* packed, const ValueShape& shape,
                           const float* row_scale, float column_scale, size_t n_rows, float* y, size_t n_last) {
  u32x16 start[kBlocks], words[kBlocks][2];
  BITVIT_UNROLL
  for (size_t b = 0; b < kBlocks; ++b) {
    start[b] = load_wide(packed + b * kFewBlockWords);
    BITVIT_UNROLL
    for (size_t w = 0; w < 2; ++w) words[b][w] = load_wide(packed + b * kFewBlockWords + (1 + w) * kFewLanes);
  }
  const size_t mask_stride = shape.n_heads * shape.n_queries, y_stride = shape.n_heads * shape.head_dim;
  for (size_t n = 0; n < n_rows; ++n, ++masks, y += y_stride) {
    wide_f32 sums[kBlocks];
    for (size_t i = 0; i < shape.n_masks; ++i) {
      const uint64_t row = masks[i * mask_stride];
      const u32x16 low = broadcast_wide(static_cast<uint32_t>(row)),
                   high = broadcast_wide(static_cast<uint32_t>(row >> 32));
      BITVIT_UNROLL
      for (size_t b = 0; b < kBlocks; ++b) {
        const u32x16 t = start[b] + popcount_wide(words[b][0] ^ low) + popcount_wide(words[b][1] ^ high);
        const wide_f32 scaled =
            __builtin_convertvector((i32x16)t, wide_f32) * column_scale * row_scale[i * shape.n_heads];
        sums[b] = i == 0 ? scaled : sums[b] + scaled;
      }
    }
    BITVIT_UNROLL
    for (size_t b = 0; b < kBlocks; ++b) {
      if (b + 1 < kBlocks || n_last == kFewLanes) {
        store(y + b * kFewLanes, to_lanes(sums[b]));
      } else {
        store_first(y + b * kFewLanes, to_lanes(sums[b]), n_last);
      }
    }
  }
}

void product_few(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
                 const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void*) {
  const uint32_t* lanes = static_cast<const uint32_t*>(packed);
  const uint64_t* const rows = masks + head * shape.n_queries + first;
  const float scale = column_scale[0];
  constexpr size_t kWidth = kFewLanes * kFewBlocks;
  for (size_t d = 0; d < shape.head_dim; d += kWidth, lanes += kFewBlocks * kFewBlockWords) {
    const size_t left = shape.head_dim - d < kWidth ? shape.head_dim - d : kWidth;
    const size_t n_blocks = (left + kFewLanes - 1) / kFewLanes, n_last = left - (n_blocks - 1) * kFewLanes;
    float* const out = y + (first * shape.n_heads + head) * shape.head_dim + d;
    switch (n_blocks) {
      case 1:
        add_few<1>(rows, lanes, shape, row_scale + head, scale, n_rows, out, n_last);
        break;
      case 2:
        add_few<2>(rows, lanes, shape, row_scale + head, scale, n_rows, out, n_last);
        break;
      case 3:
        add_few<3>(rows, lanes, shape, row_scale + head, scale, n_rows, out, n_last);
        break;
      default:
        add_few<4>(rows, lanes, shape, row_scale + head, scale, n_rows, out, n_last);
    }
  }
}

}  // namespace
}  // namespace bitvit::avx512

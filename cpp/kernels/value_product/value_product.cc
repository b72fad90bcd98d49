#include "kernels/popcount.h"
#include "kernels/value_product/combine_row.inl"

namespace bitvit::BITVIT_ISA {
namespace {

size_t words(const ValueShape& shape) { return (shape.n_keys + 63) / 64; }

// [n_planes][head_dim][2]: "is +1" and "is -1" of a channel side by side.
size_t packed_bytes(const ValueShape& shape) { return shape.n_planes * shape.head_dim * 2 * words(shape) * 8; }

void pack(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed) {
  uint64_t* out = static_cast<uint64_t*>(packed);
  const size_t n_words = words(shape);
  for (size_t j = 0; j < shape.n_planes; ++j) {
    for (size_t d = 0; d < shape.head_dim; ++d) {
      for (size_t side = 0; side < 2; ++side, out += n_words) {
        const size_t row = ((side * shape.n_planes + j) * shape.n_heads + head) * shape.head_dim + d;
        __builtin_memcpy(out, planes + row * n_words, n_words * 8);
      }
    }
  }
}

size_t scratch_bytes(const ValueShape& shape) { return shape.n_masks * shape.n_planes * (shape.head_dim + 16) * 4; }

void product(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
             const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const size_t n_words = words(shape), stride = shape.head_dim + 16;
  float* const terms = static_cast<float*>(scratch);
  for (size_t n = first; n < first + n_rows; ++n) {
    for (size_t i = 0; i < shape.n_masks; ++i) {
      const uint64_t* const mask = masks + ((i * shape.n_heads + head) * shape.n_queries + n) * n_words;
      const uint64_t* value = static_cast<const uint64_t*>(packed);
      for (size_t j = 0; j < shape.n_planes; ++j) {
        for (size_t d = 0; d < shape.head_dim; ++d, value += 2 * n_words) {
          int32_t sum = 0;
          for (size_t w = 0; w < n_words; ++w) {
            sum += popcount(mask[w] & value[w]) - popcount(mask[w] & value[n_words + w]);
          }
          terms[(i * shape.n_planes + j) * stride + d] = static_cast<float>(sum);
        }
      }
    }
    combine_row(shape, row_scale + head, column_scale, y + (n * shape.n_heads + head) * shape.head_dim,
                [=](size_t i, size_t j, size_t d)
                    __attribute__((always_inline)) { return load(terms + (i * shape.n_planes + j) * stride + d); });
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/value_product/value_product.inl"

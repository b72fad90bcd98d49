#include "kernels/attention_masks/ordered_counts.inl"
#include "kernels/popcount.h"

namespace bitvit::BITVIT_ISA {
namespace {

constexpr size_t kCountRows = 1;

size_t head_words(const AttentionShape& shape) { return (shape.head_dim + 63) / 64; }

size_t packed_bytes(const AttentionShape& shape) { return shape.n_keys * head_words(shape) * 8; }

void pack_keys(const uint64_t* keys, size_t stride, const AttentionShape& shape, void* packed) {
  uint64_t* const out = static_cast<uint64_t*>(packed);
  const size_t n_words = head_words(shape);
  for (size_t m = 0; m < shape.n_keys; ++m) {
    for (size_t w = 0; w < n_words; ++w) out[m * n_words + w] = keys[m * stride + w];
  }
}

size_t count_stride(const AttentionShape& shape) { return (shape.n_keys + 15) / 16 * 16; }

void count_keys(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
                size_t n_rows, uint16_t* counts, void*) {
  const size_t n_words = head_words(shape);
  for (size_t r = 0; r < n_rows; ++r, queries += stride, counts += count_stride(shape)) {
    const uint64_t* key = static_cast<const uint64_t*>(packed_keys);
    for (size_t m = 0; m < shape.n_keys; ++m, key += n_words) {
      int32_t count = 0;
      for (size_t w = 0; w < n_words; ++w) count += popcount(queries[w] ^ key[w]);
      counts[m] = static_cast<uint16_t>(count);
    }
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/attention_masks/attention_masks.inl"

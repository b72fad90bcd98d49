// Sixteen keys in the lanes of VPOPCNTD (kernels/lanes_avx512.inl), eight queries at a time.
#include "kernels/attention_masks/look_up_table.inl"
#include "kernels/lanes_avx512.inl"

namespace bitvit::avx512 {
namespace {

constexpr size_t kCountRows = 8;

size_t packed_bytes(const AttentionShape& shape) { return packed_lane_bytes(shape.head_dim, shape.n_keys); }

void pack_keys(const uint64_t* keys, size_t stride, const AttentionShape& shape, void* packed) {
  pack_lanes([=](size_t m) { return keys + m * stride; }, shape.head_dim, shape.n_keys, static_cast<uint32_t*>(packed));
}

size_t count_stride(const AttentionShape& shape) { return (shape.n_keys + kLanes - 1) / kLanes * kLanes; }

size_t step_bytes(const AttentionShape&) { return 0; }

void count_keys(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
                size_t n_rows, uint16_t* counts, void*) {
  const uint32_t* lanes = static_cast<const uint32_t*>(packed_keys);
  const size_t n_words = half_words(shape.head_dim), out_stride = count_stride(shape);
  for (size_t m = 0; m < shape.n_keys; m += kLanes, lanes += n_words * kLanes) {
    for (size_t w = 0; w < n_words; w += kMaxWords) {
      with_word_count(n_words - w < kMaxWords ? n_words - w : kMaxWords,
                      [&](auto count) __attribute__((always_inline)) {
                        count_differing<decltype(count)::value>(
                            queries, stride, w, n_rows, lanes + w * kLanes,
                            [=](size_t r) __attribute__((always_inline)) {
                              return w == 0 ? u32x16{} : load_u16_wide(counts + r * out_stride + m);
                            },
                            [=](size_t r, const u32x16& sum)
                                __attribute__((always_inline)) { store_u16_wide(counts + r * out_stride + m, sum); });
                      });
    }
  }
}

}  // namespace
}  // namespace bitvit::avx512

#include "kernels/attention_masks/attention_masks.inl"

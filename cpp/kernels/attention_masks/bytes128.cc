// 64 keys and four queries at a time (kernels/bytes128.inl).
#include "kernels/bytes128.inl"
#include "kernels/attention_masks/ordered_counts.inl"

namespace bitvit::BITVIT_ISA {
namespace {

constexpr size_t kCountRows = kRowsAtOnce;

size_t packed_bytes(const AttentionShape& shape) { return packed_lane_bytes(shape.head_dim, shape.n_keys); }

void pack_keys(const uint64_t* keys, size_t stride, const AttentionShape& shape, void* packed) {
  pack_lanes([=](size_t m) __attribute__((always_inline)) { return keys + m * stride; }, shape.head_dim, shape.n_keys,
             static_cast<uint8_t*>(packed));
}

size_t count_stride(const AttentionShape& shape) { return lane_blocks(shape.n_keys) * kBlockLanes; }

void count_keys(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
                size_t n_rows, uint16_t* counts, void*) {
  const size_t n_steps = lane_steps(shape.head_dim);
  const uint8_t* lanes = static_cast<const uint8_t*>(packed_keys);
  alignas(64) uint16_t sums[kRowsAtOnce * kBlockLanes];
  for (size_t block = 0; block < lane_blocks(shape.n_keys); ++block, lanes += n_steps * kBlockLanes) {
    count_block<DifferingBits>(n_rows, queries, stride * 8, lanes, n_steps, sums);
    for (size_t r = 0; r < n_rows; ++r) {
      __builtin_memcpy(counts + r * count_stride(shape) + block * kBlockLanes, sums + r * kBlockLanes, kBlockLanes * 2);
    }
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/attention_masks/attention_masks.inl"

// Keys in the lanes of the table lookup (kernels/nibble_avx2.inl).
#define BITVIT_ISA avx2
#include "kernels/attention_masks/attention_masks.h"
#include "kernels/nibble_avx2.inl"

namespace bitvit::avx2 {
namespace {

constexpr size_t kCountRows = 1;

size_t packed_bytes(const AttentionShape& shape) { return packed_lane_bytes(shape.head_dim, shape.n_keys); }

void pack_keys(const uint64_t* keys, size_t stride, const AttentionShape& shape, void* packed) {
  pack_lanes([=](size_t m) { return keys + m * stride; }, shape.head_dim, shape.n_keys,
             Strips(shape.n_keys, kMaxStrips), static_cast<uint8_t*>(packed));
}

size_t count_stride(const AttentionShape& shape) { return Strips(shape.n_keys, kMaxStrips).n_lanes(); }

size_t step_bytes(const AttentionShape& shape) { return step_stride(shape.head_dim); }

void count_keys(const uint64_t* queries, size_t, const void* packed_keys, const AttentionShape& shape, size_t,
                uint16_t* counts, void* scratch) {
  uint8_t* const steps = static_cast<uint8_t*>(scratch);
  const size_t n_steps = nibble_steps(shape.head_dim);
  expand_row(queries, shape.head_dim, steps);
  count_all(steps, nullptr, n_steps, static_cast<const uint8_t*>(packed_keys), Strips(shape.n_keys, kMaxStrips),
            n_steps, kXorTable, counts);
}

}  // namespace
}  // namespace bitvit::avx2

#include "kernels/attention_masks/attention_masks.inl"

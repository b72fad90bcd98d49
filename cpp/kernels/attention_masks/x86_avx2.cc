// Keys in the lanes of the table lookup (kernels/nibble_avx2.inl), four queries at a time.
#define BITVIT_ISA avx2
#include "kernels/attention_masks/attention_masks.h"
#include "kernels/nibble_avx2.inl"

namespace bitvit::avx2 {
namespace {

constexpr size_t kCountRows = kMaxRows;

size_t packed_bytes(const AttentionShape& shape) { return packed_lane_bytes(shape.head_dim, shape.n_keys); }

void pack_keys(const uint64_t* keys, size_t stride, const AttentionShape& shape, void* packed) {
  pack_lanes([=](size_t m) { return keys + m * stride; }, shape.head_dim, shape.n_keys, static_cast<uint8_t*>(packed));
}

size_t count_stride(const AttentionShape& shape) { return (shape.n_keys + kLanes - 1) / kLanes * kLanes; }

size_t step_bytes(const AttentionShape& shape) { return kMaxRows * step_stride(shape.head_dim); }

void count_keys(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
                size_t n_rows, uint16_t* counts, void* scratch) {
  uint8_t* const steps = static_cast<uint8_t*>(scratch);
  const size_t n_steps = nibble_steps(shape.head_dim);
  for (size_t r = 0; r < n_rows; ++r) {
    expand_row(queries + r * stride, shape.head_dim, steps + r * step_stride(shape.head_dim));
  }
  const uint8_t* lanes = static_cast<const uint8_t*>(packed_keys);
  for (size_t m = 0; m < shape.n_keys; m += kLanes, lanes += n_steps * kLanes) {
    count_rows(steps, step_stride(shape.head_dim), lanes, n_steps, kXorTable, counts + m, count_stride(shape), n_rows);
  }
}

}  // namespace
}  // namespace bitvit::avx2

#include "kernels/attention_masks/attention_masks.inl"

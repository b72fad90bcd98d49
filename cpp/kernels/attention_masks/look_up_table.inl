// The table of attention_masks.inl for counts that are 16-bit numbers in the order of the keys.
#include "kernels/attention_masks/attention_masks.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

BITVIT_INLINE size_t padded_keys(const AttentionShape& shape) { return (shape.n_keys + 15) / 16 * 16; }

// row[m] = table[counts[m] - the least count], zero-padded to sixteens; returns the sum in sixteen lanes.
BITVIT_INLINE f32x16 look_up_ordered(const uint16_t* counts, size_t n_keys, const float* table, float* row) {
  const size_t n_padded = (n_keys + 15) / 16 * 16;
  uint16_t least = counts[0];
  for (size_t m = 1; m < n_keys; ++m) least = counts[m] < least ? counts[m] : least;
  for (size_t m = 0; m < n_keys; ++m) row[m] = table[counts[m] - least];
  for (size_t m = n_keys; m < n_padded; ++m) row[m] = 0.0f;
  f32x16 sum = load(row);
  for (size_t m = 16; m < n_padded; m += 16) sum = sum + load(row + m);
  return sum;
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

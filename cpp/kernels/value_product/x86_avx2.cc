// Channels in the lanes of the table lookup (kernels/nibble_avx2.inl): for each plane its "is +1" and "is -1" bits, D lanes each. The
// first plane of V has no zeros as a rule; then T_0 = popcount(A) - 2 popcount(A & Q_0), and only Q_0 takes lanes.
#define BITVIT_ISA avx2
#include "kernels/nibble_avx2.inl"
#include "kernels/value_product/combine_row.inl"

namespace bitvit::avx2 {
namespace {

constexpr size_t kMaxMasks = 8;

size_t words(const ValueShape& shape) { return (shape.n_keys + 63) / 64; }

size_t n_lanes(const ValueShape& shape) {
  return (2 * shape.n_planes - (shape.first_plane_is_sign ? 1 : 0)) * shape.head_dim;
}

size_t count_stride(const ValueShape& shape) { return Strips(n_lanes(shape)).n_lanes() + 16; }

size_t packed_bytes(const ValueShape& shape) { return packed_lane_bytes(shape.n_keys, n_lanes(shape)); }

void pack(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed) {
  const size_t n_words = words(shape);
  const auto get_row = [=](size_t lane) {
    const size_t d = lane % shape.head_dim;
    const size_t part = lane / shape.head_dim + (shape.first_plane_is_sign ? 1 : 0);  // P_0, Q_0, P_1, Q_1, ...
    return planes + (((part % 2 * shape.n_planes + part / 2) * shape.n_heads + head) * shape.head_dim + d) * n_words;
  };
  pack_lanes(get_row, shape.n_keys, n_lanes(shape), static_cast<uint8_t*>(packed));
}

// Counts of one query, then the steps of one mask and the list of those that are not empty.
size_t scratch_bytes(const ValueShape& shape) {
  return (shape.n_masks * count_stride(shape) * 2 + 63) / 64 * 64 + step_stride(shape.n_keys) * 3;
}

// The counts of one mask row with all lanes. Steps without bits are left out: they would add 0.
BITVIT_INLINE float count_mask(const uint64_t* mask, const uint8_t* lanes, const ValueShape& shape, uint8_t* steps,
                               uint16_t* list, uint16_t* counts) {
  const size_t n_words = words(shape), n_steps = nibble_steps(shape.n_keys);
  expand_row(mask, shape.n_keys, steps);
  int32_t n_ones = 0, n_used = 0;
  for (size_t w = 0; w < n_words; ++w) {
    const uint64_t pairs = mask[w] | mask[w] >> 1;
    n_ones += popcount(mask[w]);
    n_used += popcount((pairs | pairs >> 2) & 0x1111111111111111u);
  }
  size_t n = n_steps;
  const uint16_t* used = nullptr;
  if (static_cast<size_t>(n_used) * 8 < n_steps * 7) {
    used = list;
    n = 0;
    for (size_t s = 0; s < n_steps; ++s) {
      list[n] = static_cast<uint16_t>(s);
      n += steps[s] != 0 ? 1 : 0;
    }
  }
  const Strips strips(n_lanes(shape));
  for (size_t first = 0; first < strips.n_strips; first += strips.block_strips) {
    const size_t left = strips.n_strips - first;
    const size_t n_strips = left < strips.block_strips ? left : strips.block_strips;
    size_t begin = 0;
    do {
      const size_t end = n - begin < kMaxByteSteps ? n : begin + kMaxByteSteps;
      count_row(steps, used, lanes, begin, end, kAndTable, counts + first * kStrip, begin == 0, n_strips);
      begin = end;
    } while (begin < n);
    lanes += n_steps * n_strips * kStrip;
  }
  return static_cast<float>(n_ones);
}

void product(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
             const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const size_t n_words = words(shape), stride = count_stride(shape), width = shape.head_dim;
  uint16_t* const counts = static_cast<uint16_t*>(scratch);
  uint8_t* const steps = static_cast<uint8_t*>(scratch) + (shape.n_masks * stride * 2 + 63) / 64 * 64;
  uint16_t* const list = reinterpret_cast<uint16_t*>(steps + step_stride(shape.n_keys));
  for (size_t n = first; n < first + n_rows; ++n) {
    float ones[kMaxMasks];
    for (size_t i = 0; i < shape.n_masks; ++i) {
      const uint64_t* const mask = masks + ((i * shape.n_heads + head) * shape.n_queries + n) * n_words;
      ones[i] = count_mask(mask, static_cast<const uint8_t*>(packed), shape, steps, list, counts + i * stride);
    }
    combine_row(shape, row_scale + head, column_scale, y + (n * shape.n_heads + head) * width,
                [&](size_t i, size_t j, size_t d) __attribute__((always_inline)) {
                  const uint16_t* const row = counts + i * stride + d;
                  if (!shape.first_plane_is_sign) {
                    return load_converted(row + 2 * j * width) - load_converted(row + (2 * j + 1) * width);
                  }
                  if (j == 0) {
                    const f32x16 negative = load_converted(row);
                    return broadcast(ones[i]) - (negative + negative);
                  }
                  return load_converted(row + (2 * j - 1) * width) - load_converted(row + 2 * j * width);
                });
  }
}

}  // namespace
}  // namespace bitvit::avx2

#include "kernels/value_product/value_product.inl"

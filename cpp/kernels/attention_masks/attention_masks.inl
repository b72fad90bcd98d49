// Everything of attention_masks.h but the counting of bits, once for every instruction set (kernels/vector.h). The
// including file has defined
//   kCountRows                      how many queries it counts at a time,
//   count_stride(shape)             elements from one row of counts to the next, at least n_keys rounded up to 16,
//   step_bytes(shape)               its own scratch,
//   count_keys(...)                 counts[r][m] = popcount(query r ^ key m) as 16-bit numbers.
#include "kernels/attention_masks/attention_masks.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

BITVIT_INLINE size_t padded_keys(const AttentionShape& shape) { return (shape.n_keys + 15) / 16 * 16; }

BITVIT_INLINE size_t align64(size_t n) { return (n + 63) / 64 * 64; }

struct AttentionScratch {
  uint16_t* counts;
  float* row;  // padded_keys
  void* steps;
};

size_t scratch_bytes(const AttentionShape& shape) {
  return align64(kCountRows * count_stride(shape) * 2) + align64(padded_keys(shape) * 4) + step_bytes(shape);
}

BITVIT_INLINE AttentionScratch split_scratch(void* scratch, const AttentionShape& shape) {
  char* const bytes = static_cast<char*>(scratch);
  const size_t row = align64(kCountRows * count_stride(shape) * 2);
  return {reinterpret_cast<uint16_t*>(bytes), reinterpret_cast<float*>(bytes + row),
          bytes + row + align64(padded_keys(shape) * 4)};
}

// row = table[p - min p], zero-padded; returns 1 / sum16(row).
BITVIT_INLINE float exponentials(const uint16_t* counts, size_t n_keys, const float* table, float* row) {
  uint16_t least = counts[0];
  for (size_t m = 1; m < n_keys; ++m) least = counts[m] < least ? counts[m] : least;
  for (size_t m = 0; m < n_keys; ++m) row[m] = table[counts[m] - least];
  const size_t n_padded = (n_keys + 15) / 16 * 16;
  for (size_t m = n_keys; m < n_padded; ++m) row[m] = 0.0f;
  f32x16 sum = load(row);
  for (size_t m = 16; m < n_padded; m += 16) sum = sum + load(row + m);
  return 1.0f / halve(sum);
}

// row = row * reciprocal - offset; lanes beyond n_keys repeat the first element, so that they do not change the
// maximum.
BITVIT_INLINE void apply_offset(const AttentionHead& head, size_t n, size_t n_keys, float reciprocal, float* row) {
  const size_t n_padded = (n_keys + 15) / 16 * 16;
  const f32x16 factor = broadcast(reciprocal);
  if (head.byte_offset != nullptr) {
    const int8_t* const offset = head.byte_offset + n * n_keys;
    const f32x16 scale = broadcast(head.byte_offset_scale);
    for (size_t m = 0; m < n_padded; m += 16) {
      store(row + m, load(row + m) * factor - load_converted(offset + m) * scale);
    }
  } else if (head.full_offset != nullptr) {
    const float* const offset = head.full_offset + n * n_keys;
    for (size_t m = 0; m < n_padded; m += 16) store(row + m, load(row + m) * factor - load(offset + m));
  } else if (head.row_offset != nullptr) {
    const f32x16 offset = broadcast(head.row_offset[n]);
    for (size_t m = 0; m < n_padded; m += 16) store(row + m, load(row + m) * factor - offset);
  } else {
    for (size_t m = 0; m < n_padded; m += 16) store(row + m, load(row + m) * factor);
  }
  for (size_t m = n_keys; m < n_padded; ++m) row[m] = row[0];
}

BITVIT_INLINE float row_maximum(const float* row, size_t n_keys) {
  f32x16 largest = load(row);
  for (size_t m = 16; m < n_keys; m += 16) largest = max(largest, load(row + m));
  return max_lane(largest);
}

template <typename Bits>
BITVIT_INLINE void write_plane(size_t n_keys, uint64_t* out, Bits bits) {
  for (size_t m = 0; m < n_keys; m += 64) {
    uint64_t word = 0;
    for (size_t i = m; i < m + 64 && i < n_keys; i += 16) word |= static_cast<uint64_t>(bits(i)) << (i - m);
    if (n_keys - m < 64) word &= (static_cast<uint64_t>(1) << (n_keys - m)) - 1;
    out[m / 64] = word;
  }
}

BITVIT_INLINE void write_planes(const AttentionHead& head, const float* row, size_t n, size_t n_keys,
                                uint64_t* const* masks) {
  const size_t n_words = (n_keys + 63) / 64;
  float largest = 0;
  for (size_t i = 0; i < head.n_planes; ++i) {
    if (head.rules[i] == PlaneRule::kRowMax) {
      largest = row_maximum(row, n_keys);
      break;
    }
  }
  for (size_t i = 0; i < head.n_planes; ++i) {
    uint64_t* const out = masks[i] + n * n_words;
    const float threshold = head.rules[i] == PlaneRule::kRowMax ? head.limits[i] * largest : head.limits[i];
    const f32x16 limit = broadcast(threshold);
    switch (head.rules[i]) {
      case PlaneRule::kGreater:
      case PlaneRule::kRowMax:
        write_plane(n_keys, out,
                    [=](size_t m) __attribute__((always_inline)) { return less_bits(limit, load(row + m)); });
        break;
      case PlaneRule::kAtLeast:
        write_plane(n_keys, out,
                    [=](size_t m) __attribute__((always_inline)) { return less_equal_bits(limit, load(row + m)); });
        break;
      case PlaneRule::kOnes:
        write_plane(n_keys, out, [](size_t) __attribute__((always_inline)) { return 0xffffu; });
        break;
    }
  }
}

// Calls use(n, counts of row n) for rows of a head.
template <typename Use>
BITVIT_INLINE void for_rows(const uint64_t* queries, size_t stride, const void* packed_keys,
                            const AttentionShape& shape, size_t first, size_t n_rows, const AttentionScratch& scratch,
                            Use use) {
  for (size_t r = 0; r < n_rows; r += kCountRows) {
    const size_t count = n_rows - r < kCountRows ? n_rows - r : kCountRows;
    count_keys(queries + (first + r) * stride, stride, packed_keys, shape, count, scratch.counts, scratch.steps);
    for (size_t i = 0; i < count; ++i) use(first + r + i, scratch.counts + i * count_stride(shape));
  }
}

void masks(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
           const AttentionHead& head, size_t first, size_t n_rows, uint64_t* const* out, void* scratch) {
  const AttentionScratch s = split_scratch(scratch, shape);
  for_rows(queries, stride, packed_keys, shape, first, n_rows, s,
           [&](size_t n, uint16_t* counts) __attribute__((always_inline)) {
             const float reciprocal = exponentials(counts, shape.n_keys, head.table, s.row);
             apply_offset(head, n, shape.n_keys, reciprocal, s.row);
             write_planes(head, s.row, n, shape.n_keys, out);
           });
}

float maximum(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
              const AttentionHead& head, size_t first, size_t n_rows, void* scratch) {
  const AttentionScratch s = split_scratch(scratch, shape);
  float largest = 0;
  for_rows(queries, stride, packed_keys, shape, first, n_rows, s,
           [&](size_t n, uint16_t* counts) __attribute__((always_inline)) {
             const float reciprocal = exponentials(counts, shape.n_keys, head.table, s.row);
             apply_offset(head, n, shape.n_keys, reciprocal, s.row);
             const float of_row = row_maximum(s.row, shape.n_keys);
             if (n == first || of_row > largest) largest = of_row;
           });
  return largest;
}

void weights(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
             const float* table, size_t first, size_t n_rows, float* out, void* scratch) {
  const AttentionScratch s = split_scratch(scratch, shape);
  for_rows(queries, stride, packed_keys, shape, first, n_rows, s,
           [&](size_t n, uint16_t* counts) __attribute__((always_inline)) {
             const float reciprocal = exponentials(counts, shape.n_keys, table, s.row);
             float* const row = out + n * shape.n_keys;
             for (size_t m = 0; m < shape.n_keys; ++m) row[m] = s.row[m] * reciprocal;
           });
}

}  // namespace

const AttentionMasksKernels& attention_masks_kernels() {
  static constexpr AttentionMasksKernels kKernels = {packed_bytes, pack_keys, scratch_bytes, masks, maximum, weights};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

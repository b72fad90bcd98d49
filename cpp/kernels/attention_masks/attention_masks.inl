// Everything of attention_masks.h but the counting of bits and the table, once for every instruction set
// (kernels/vector.h). The including file has defined
//   kCountRows                      how many queries it counts at a time,
//   count_stride(shape)             elements from one row of counts to the next, at least n_keys rounded up to 16,
//   step_bytes(shape)               its own scratch,
//   prepare(...)                    called once before rows are counted,
//   count_keys(...)                 counts[r] = popcount(query r ^ key m) of all keys m, in a form of its own,
//   look_up_table(...)              row[m] = table[p - min p] from these counts, zero-padded to padded_keys; returns
//   the
//                                   sum in sixteen lanes, m modulo 16.
#include "kernels/attention_masks/attention_masks.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

BITVIT_INLINE size_t align64(size_t n) { return (n + 63) / 64 * 64; }

struct AttentionScratch {
  uint16_t* counts;
  float* rows;  // kCountRows times padded_keys
  void* steps;
};

size_t scratch_bytes(const AttentionShape& shape) {
  return align64(kCountRows * count_stride(shape) * 2) + align64(kCountRows * padded_keys(shape) * 4) +
         step_bytes(shape);
}

BITVIT_INLINE AttentionScratch split_scratch(void* scratch, const AttentionShape& shape) {
  char* const bytes = static_cast<char*>(scratch);
  const size_t rows = align64(kCountRows * count_stride(shape) * 2);
  return {reinterpret_cast<uint16_t*>(bytes), reinterpret_cast<float*>(bytes + rows),
          bytes + rows + align64(kCountRows * padded_keys(shape) * 4)};
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

// Bits of the keys m..m + 15 are bits(m).
template <typename Bits>
BITVIT_INLINE void write_plane(size_t n_keys, uint64_t* out, Bits bits) {
  size_t m = 0;
  for (; m + 64 <= n_keys; m += 64) {
    uint64_t word = 0;
    BITVIT_UNROLL
    for (size_t i = 0; i < 64; i += 16) word |= static_cast<uint64_t>(bits(m + i)) << i;
    out[m / 64] = word;
  }
  if (m == n_keys) return;
  uint64_t word = 0;
  for (size_t i = m; i < n_keys; i += 16) word |= static_cast<uint64_t>(bits(i)) << (i - m);
  out[m / 64] = word & ((static_cast<uint64_t>(1) << (n_keys - m)) - 1);
}

BITVIT_INLINE bool has_rule(const AttentionHead& head, PlaneRule rule) {
  for (size_t i = 0; i < head.n_planes; ++i) {
    if (head.rules[i] == rule) return true;
  }
  return false;
}

BITVIT_INLINE void write_planes(const AttentionHead& head, const float* row, size_t n, size_t n_keys,
                                bool needs_maximum, uint64_t* const* masks) {
  const size_t n_words = (n_keys + 63) / 64;
  const float largest = needs_maximum ? row_maximum(row, n_keys) : 0;
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

// Calls use(n, row, 1 / sum16(row)) for rows of a head, row = table[p - min p], zero-padded. What waits for results of
// the whole row is done for several rows at a time.
template <typename Use>
BITVIT_INLINE void for_rows(const uint64_t* queries, size_t stride, const void* packed_keys,
                            const AttentionShape& shape, const float* table, size_t first, size_t n_rows,
                            const AttentionScratch& scratch, Use use) {
  prepare(shape, table, scratch.steps);
  const size_t row_stride = padded_keys(shape);
  for (size_t r = 0; r < n_rows; r += kCountRows) {
    const size_t count = n_rows - r < kCountRows ? n_rows - r : kCountRows;
    count_keys(queries + (first + r) * stride, stride, packed_keys, shape, count, scratch.counts, scratch.steps);
    float reciprocals[kCountRows];
    for (size_t i = 0; i < count; ++i) {
      reciprocals[i] = 1.0f / halve(look_up_table(scratch.counts + i * count_stride(shape), shape, table, scratch.steps,
                                                  scratch.rows + i * row_stride));
    }
    for (size_t i = 0; i < count; ++i) use(first + r + i, scratch.rows + i * row_stride, reciprocals[i]);
  }
}

void masks(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
           const AttentionHead& head, size_t first, size_t n_rows, uint64_t* const* out, void* scratch) {
  const bool needs_maximum = has_rule(head, PlaneRule::kRowMax);
  for_rows(queries, stride, packed_keys, shape, head.table, first, n_rows, split_scratch(scratch, shape),
           [&](size_t n, float* row, float reciprocal) __attribute__((always_inline)) {
             apply_offset(head, n, shape.n_keys, reciprocal, row);
             write_planes(head, row, n, shape.n_keys, needs_maximum, out);
           });
}

float maximum(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
              const AttentionHead& head, size_t first, size_t n_rows, void* scratch) {
  float largest = 0;
  for_rows(queries, stride, packed_keys, shape, head.table, first, n_rows, split_scratch(scratch, shape),
           [&](size_t n, float* row, float reciprocal) __attribute__((always_inline)) {
             apply_offset(head, n, shape.n_keys, reciprocal, row);
             const float of_row = row_maximum(row, shape.n_keys);
             if (n == first || of_row > largest) largest = of_row;
           });
  return largest;
}

void weights(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
             const float* table, size_t first, size_t n_rows, float* out, void* scratch) {
  for_rows(queries, stride, packed_keys, shape, table, first, n_rows, split_scratch(scratch, shape),
           [&](size_t n, const float* row, float reciprocal) __attribute__((always_inline)) {
             float* const of_query = out + n * shape.n_keys;
             for (size_t m = 0; m < shape.n_keys; ++m) of_query[m] = row[m] * reciprocal;
           });
}

}  // namespace

const AttentionMasksKernels& attention_masks_kernels() {
  static constexpr AttentionMasksKernels kKernels = {packed_bytes, pack_keys, scratch_bytes, masks, maximum, weights};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

// Everything of attention_masks.h but the counting of bits and the table, once for every instruction set
// (kernels/vector.h). The including file has defined
//   kCountRows                      how many queries it counts at a time,
//   padded_keys(shape)              floats from one row to the next, at least n_keys rounded up to 16,
//   count_stride(shape)             elements from one row of counts to the next, at least n_keys rounded up to 16,
//   step_bytes(shape)               its own scratch,
//   prepare(...)                    called once before rows are counted,
//   count_keys(...)                 counts[r] = popcount(query r ^ key m) of all keys m, in a form of its own,
//   look_up_table(...)              row[m] = table[p - min p] from these counts, zero-padded to padded_keys; returns
//                                   the sum in sixteen lanes, m modulo 16.
#include "kernels/attention_masks/attention_masks.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

#define BITVIT_LAMBDA __attribute__((always_inline))

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

// row = row * reciprocal - offset; returns the largest. `subtract(m, x)` does so for the lanes m..m + 15. Lanes beyond
// n_keys become the first element, so that they change no maximum.
template <typename Subtract>
BITVIT_INLINE float apply(size_t n_keys, float reciprocal, float* row, Subtract subtract) {
  const f32x16 factor = broadcast(reciprocal);
  const size_t tail = (n_keys - 1) / 16 * 16;
  f32x16 x = subtract(0, load(row) * factor), first = broadcast_lane(x, 0), largest = first;
  for (size_t m = 0; m < tail;) {
    store(row + m, x);
    largest = max(largest, x);
    m += 16;
    x = subtract(m, load(row + m) * factor);
  }
  x = first_lanes(x, first, n_keys - tail);
  store(row + tail, x);
  return max_lane(max(largest, x));
}

BITVIT_INLINE float apply_offset(const AttentionHead& head, size_t n, size_t n_keys, float reciprocal, float* row) {
  if (head.byte_offset != nullptr) {
    const int8_t* const offset = head.byte_offset + n * n_keys;
    const f32x16 scale = broadcast(head.byte_offset_scale);
    return apply(n_keys, reciprocal, row,
                 [=](size_t m, const f32x16& x) BITVIT_LAMBDA { return x - load_converted(offset + m) * scale; });
  }
  if (head.full_offset != nullptr) {
    const float* const offset = head.full_offset + n * n_keys;
    return apply(n_keys, reciprocal, row,
                 [=](size_t m, const f32x16& x) BITVIT_LAMBDA { return x - load(offset + m); });
  }
  if (head.row_offset != nullptr) {
    const f32x16 offset = broadcast(head.row_offset[n]);
    return apply(n_keys, reciprocal, row, [=](size_t, const f32x16& x) BITVIT_LAMBDA { return x - offset; });
  }
  return apply(n_keys, reciprocal, row, [](size_t, const f32x16& x) BITVIT_LAMBDA { return x; });
}

// The planes of a head that compare, all by "greater", and those of ones.
struct PlaneLimits {
  f32x16 values;
  f32x16 is_row_max;  // -1: times the largest of the row
  size_t n_compared, compared[kMaxPlanes], n_ones, ones[kMaxPlanes];
};

// The largest number below x: a >= x is a > below(x).
BITVIT_INLINE float below(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  bits = x > 0 ? bits - 1 : x == 0 ? 0x80000001u : bits + 1;
  __builtin_memcpy(&x, &bits, sizeof(bits));
  return x;
}

BITVIT_INLINE PlaneLimits limits_of(const AttentionHead& head) {
  PlaneLimits limits;
  limits.n_compared = limits.n_ones = 0;
  alignas(64) float values[16] = {}, is_row_max[16] = {};
  for (size_t i = 0; i < head.n_planes; ++i) {
    if (head.rules[i] == PlaneRule::kOnes) {
      limits.ones[limits.n_ones++] = i;
      continue;
    }
    const bool is_at_least = head.rules[i] == PlaneRule::kAtLeast;
    values[limits.n_compared] = is_at_least ? below(head.limits[i]) : head.limits[i];
    is_row_max[limits.n_compared] = head.rules[i] == PlaneRule::kRowMax ? -1.0f : 0.0f;
    limits.compared[limits.n_compared++] = i;
  }
  limits.values = load(values);
  limits.is_row_max = load(is_row_max);
  return limits;
}

BITVIT_INLINE uint64_t first_bits(size_t n) { return (static_cast<uint64_t>(1) << n) - 1; }  // n < 64

// Bit m of out[i]: row[m] > limit kFirst + i, kPlanes planes at a time, which share the loads of the row.
template <int kFirst, int kPlanes>
BITVIT_INLINE void write_greater(const float* row, const f32x16& all_limits, size_t n_keys, uint64_t* const* planes) {
  f32x16 limits[kPlanes];
  uint64_t* out[kPlanes];
  BITVIT_UNROLL
  for (int i = 0; i < kPlanes; ++i) {
    limits[i] = broadcast_lane(all_limits, kFirst + i);
    out[i] = planes[kFirst + i];
  }
  size_t m = 0;
  for (; m + 64 <= n_keys; m += 64) {
    f32x16 x[4];
    BITVIT_UNROLL
    for (size_t l = 0; l < 4; ++l) x[l] = load(row + m + 16 * l);
    BITVIT_UNROLL
    for (int i = 0; i < kPlanes; ++i) {
      uint64_t word = less_bits(limits[i], x[0]);
      BITVIT_UNROLL
      for (size_t l = 1; l < 4; ++l) word |= static_cast<uint64_t>(less_bits(limits[i], x[l])) << (16 * l);
      out[i][m / 64] = word;
    }
  }
  if (m == n_keys) return;
  uint64_t words[kPlanes] = {};
  for (size_t l = m; l < n_keys; l += 16) {
    const f32x16 x = load(row + l);
    BITVIT_UNROLL
    for (int i = 0; i < kPlanes; ++i) words[i] |= static_cast<uint64_t>(less_bits(limits[i], x)) << (l - m);
  }
  BITVIT_UNROLL
  for (int i = 0; i < kPlanes; ++i) out[i][m / 64] = words[i] & first_bits(n_keys - m);
}

template <int kFirst>
BITVIT_INLINE void write_some(size_t n_planes, const float* row, const f32x16& limits, size_t n_keys,
                              uint64_t* const* planes) {
  switch (n_planes) {
    case 0:
      return;
    case 1:
      return write_greater<kFirst, 1>(row, limits, n_keys, planes);
    case 2:
      return write_greater<kFirst, 2>(row, limits, n_keys, planes);
    case 3:
      return write_greater<kFirst, 3>(row, limits, n_keys, planes);
    default:
      return write_greater<kFirst, 4>(row, limits, n_keys, planes);
  }
}

// Row n of all planes.
BITVIT_INLINE void write_planes(const PlaneLimits& of_head, const float* row, float largest, size_t n, size_t n_keys,
                                uint64_t* const* masks) {
  const size_t n_words = (n_keys + 63) / 64;
  uint64_t* planes[kMaxPlanes];
  for (size_t i = 0; i < of_head.n_compared; ++i) planes[i] = masks[of_head.compared[i]] + n * n_words;
  const f32x16 limits = of_head.values * select_negative(of_head.is_row_max, broadcast(largest), broadcast(1.0f));
  write_some<0>(of_head.n_compared, row, limits, n_keys, planes);
  if (of_head.n_compared > 4) write_some<4>(of_head.n_compared - 4, row, limits, n_keys, planes);
  for (size_t i = 0; i < of_head.n_ones; ++i) {
    uint64_t* const out = masks[of_head.ones[i]] + n * n_words;
    for (size_t w = 0; w < n_words; ++w) out[w] = ~static_cast<uint64_t>(0);
    if (n_keys % 64 != 0) out[n_words - 1] = first_bits(n_keys % 64);
  }
}

// Calls use(n, count, rows, reciprocals) for up to kCountRows rows of a head at a time, the first of them being row n:
// rows = table[p - min p], zero-padded, padded_keys apart; reciprocals: 1 / sum16. Rows wait for results of their own,
// so each step is done for all of them before the next.
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
    use(first + r, count, scratch.rows, reciprocals);
  }
}

void masks(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
           const AttentionHead& head, size_t first, size_t n_rows, uint64_t* const* out, void* scratch) {
  const PlaneLimits limits = limits_of(head);
  const size_t row_stride = padded_keys(shape);
  for_rows(queries, stride, packed_keys, shape, head.table, first, n_rows, split_scratch(scratch, shape),
           [&](size_t n, size_t count, float* rows, const float* reciprocals) BITVIT_LAMBDA {
             float largest[kCountRows];
             for (size_t i = 0; i < count; ++i) {
               largest[i] = apply_offset(head, n + i, shape.n_keys, reciprocals[i], rows + i * row_stride);
             }
             for (size_t i = 0; i < count; ++i) {
               write_planes(limits, rows + i * row_stride, largest[i], n + i, shape.n_keys, out);
             }
           });
}

float maximum(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
              const AttentionHead& head, size_t first, size_t n_rows, void* scratch) {
  float largest = 0;
  for_rows(queries, stride, packed_keys, shape, head.table, first, n_rows, split_scratch(scratch, shape),
           [&](size_t n, size_t count, float* rows, const float* reciprocals) BITVIT_LAMBDA {
             for (size_t i = 0; i < count; ++i) {
               float* const row = rows + i * padded_keys(shape);
               const float of_row = apply_offset(head, n + i, shape.n_keys, reciprocals[i], row);
               if (n + i == first || of_row > largest) largest = of_row;
             }
           });
  return largest;
}

void weights(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
             const float* table, size_t first, size_t n_rows, float* out, void* scratch) {
  for_rows(queries, stride, packed_keys, shape, table, first, n_rows, split_scratch(scratch, shape),
           [&](size_t n, size_t count, const float* rows, const float* reciprocals) BITVIT_LAMBDA {
             for (size_t i = 0; i < count; ++i) {
               const float* const row = rows + i * padded_keys(shape);
               float* const of_query = out + (n + i) * shape.n_keys;
               for (size_t m = 0; m < shape.n_keys; ++m) of_query[m] = row[m] * reciprocals[i];
             }
           });
}

}  // namespace

const AttentionMasksKernels& attention_masks_kernels() {
  static constexpr AttentionMasksKernels kKernels = {packed_bytes, pack_keys, scratch_bytes, masks, maximum, weights};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

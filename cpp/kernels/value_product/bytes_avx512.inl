// value_product.h with a byte a lane, plane after plane: 64 lanes (plane, channel) a register.
//
// Rows of masks with many ones: VPOPCNTB of the bytes of eight keys, A ? P : Q; minus popcount(Q) this is T. Eight rows
// share the loads of P and Q. Rows with few ones, or few zeros: the sum of the rows of those keys in the table t, which
// holds -1, 0 or 1; subtracted from the total where zeros are listed. Not for few keys.
#pragma once

#include "kernels/bytes_avx512.h"
#include "kernels/value_product/combine_row.inl"

namespace bitvit::avx512 {
namespace {

constexpr size_t kMaxByteKeys = 248;  // counts and numbers of keys, that of the row of zeros included, are bytes
constexpr size_t kMaxByteLanes = 256;
constexpr size_t kMaxListed = 16;      // keys of a row that are added one by one: sums stay within a signed byte
constexpr size_t kMinListedKeys = 80;  // fewer are counted faster than a list is made
constexpr size_t kQueryBlock = 16;     // queries whose terms wait in scratch
constexpr size_t kSharingRows = 8;
constexpr size_t kMaxMasks = 8;

bool has_byte_lanes(const ValueShape& shape) {
  return shape.n_keys <= kMaxByteKeys && shape.n_planes * shape.head_dim <= kMaxByteLanes;
}

bool has_lists(const ValueShape& shape) { return shape.n_keys >= kMinListedKeys; }

size_t lane_groups(const ValueShape& shape) { return (shape.n_planes * shape.head_dim + 63) / 64; }
size_t key_bytes(const ValueShape& shape) { return (shape.n_keys + 7) / 8; }

size_t plane_bytes(const ValueShape& shape) { return lane_groups(shape) * ((shape.n_keys + 63) / 64 * 8) * 64; }

// Where a packed head has P and Q ([group][key byte, whole words][64]), t ([key][group][64], then a row of zeros), the
// totals of t, and the counts of Q (both [group][64], 16 bits).
struct ByteOffsets {
  size_t p, q, t, totals, q_counts, end;
};

BITVIT_INLINE ByteOffsets byte_offsets(const ValueShape& shape) {
  const size_t row = lane_groups(shape) * 64, planes = plane_bytes(shape);
  const size_t totals = 2 * planes + (8 * key_bytes(shape) + 1) * row;
  return {0, planes, 2 * planes, totals, totals + 2 * row, totals + 4 * row};
}

size_t byte_packed_bytes(const ValueShape& shape) { return byte_offsets(shape).end; }

// A packed head.
struct PackedBytes {
  const uint8_t *p, *q, *t;
  const int16_t *totals, *q_counts;
};

BITVIT_INLINE PackedBytes packed_bytes_of(const ValueShape& shape, const void* packed) {
  const uint8_t* const start = static_cast<const uint8_t*>(packed);
  const ByteOffsets at = byte_offsets(shape);
  return {start + at.p, start + at.q, start + at.t, reinterpret_cast<const int16_t*>(start + at.totals),
          reinterpret_cast<const int16_t*>(start + at.q_counts)};
}

BITVIT_INLINE void store_counts(int16_t* p, const u16x32& x) { __builtin_memcpy(p, &x, sizeof(x)); }
BITVIT_INLINE u16x32 load_counts(const int16_t* p) {
  u16x32 r;
  __builtin_memcpy(&r, p, sizeof(r));
  return r;
}

void pack_bytes(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed) {
  uint8_t* const out = static_cast<uint8_t*>(packed);
  const ByteOffsets at = byte_offsets(shape);
  int16_t* const totals = reinterpret_cast<int16_t*>(out + at.totals);
  int16_t* const counts_of_q = reinterpret_cast<int16_t*>(out + at.q_counts);
  const size_t n_words = (shape.n_keys + 63) / 64, n_groups = lane_groups(shape), width = shape.head_dim;
  const size_t n_lanes = shape.n_planes * width, side = shape.n_planes * shape.n_heads * width * n_words;
  for (size_t g = 0; g < n_groups; ++g) {
    const uint64_t* rows[64];
    for (size_t l = 0; l < 64; ++l) {
      const size_t lane = g * 64 + l, row = (lane / width * shape.n_heads + head) * width + lane % width;
      rows[l] = lane < n_lanes ? planes + row * n_words : nullptr;
    }
    u8x64 p_sum = {}, q_sum = {};
    for (size_t w = 0; w < n_words; ++w) {
      alignas(64) uint64_t p_words[64], q_words[64];
      for (size_t l = 0; l < 64; ++l) {
        p_words[l] = rows[l] != nullptr ? rows[l][w] : 0;
        q_words[l] = rows[l] != nullptr ? rows[l][side + w] : 0;
      }
      uint8_t* const p = out + at.p + (g * n_words + w) * 512;
      uint8_t* const q = out + at.q + (g * n_words + w) * 512;
      transpose_words(p_words, p);
      transpose_words(q_words, q);
      for (size_t k = 0; k < 8 && 8 * w + k < key_bytes(shape); ++k) {
        const u8x64 p_bytes = load_bytes(p + 64 * k), q_bytes = load_bytes(q + 64 * k);
        p_sum += popcount_bytes(p_bytes);
        q_sum += popcount_bytes(q_bytes);
        if (!has_lists(shape)) continue;
        uint8_t* const t = out + at.t + ((64 * w + 8 * k) * n_groups + g) * 64;
        BITVIT_UNROLL
        for (size_t bit = 0; bit < 8; ++bit) {
          store_bytes(t + bit * n_groups * 64, ternary_bytes(p_bytes, q_bytes, static_cast<uint8_t>(1u << bit)));
        }
      }
    }
    store_bytes(out + at.t + (8 * key_bytes(shape) * n_groups + g) * 64, u8x64{});
    const u16x32 p_counts[2] = {widen_unsigned<0>(p_sum), widen_unsigned<1>(p_sum)};
    const u16x32 q_counts[2] = {widen_unsigned<0>(q_sum), widen_unsigned<1>(q_sum)};
    for (size_t half = 0; half < 2; ++half) {
      store_counts(counts_of_q + g * 64 + 32 * half, q_counts[half]);
      store_counts(totals + g * 64 + 32 * half, p_counts[half] - q_counts[half]);
    }
  }
}

// [mask][query][group][64]; the last lanes of a row may be read beyond its end.
size_t byte_scratch_bytes(const ValueShape& shape) {
  return shape.n_masks * kQueryBlock * lane_groups(shape) * 128 + 64;
}

// One group of the terms of kSharingRows rows.
template <bool kIsSign>
BITVIT_INLINE void count_group(const uint8_t* const* rows, int16_t* const* terms, size_t n_bytes, const uint8_t* p,
                               const uint8_t* q, const int16_t* q_counts) {
  const uint8_t* row[kSharingRows];
  u8x64 sums[kSharingRows];
  BITVIT_UNROLL
  for (size_t r = 0; r < kSharingRows; ++r) {
    row[r] = rows[r];
    sums[r] = u8x64{};
  }
  for (size_t k = 0; k < n_bytes; ++k) {
    const u8x64 q_bytes = load_bytes(q + 64 * k);
    const u8x64 p_bytes = kIsSign ? q_bytes : load_bytes(p + 64 * k);
    BITVIT_UNROLL
    for (size_t r = 0; r < kSharingRows; ++r) {
      const u8x64 a = broadcast_byte(row[r][k]);
      // In a plane of signs P is not Q, and A ? P : Q is A ^ Q.
      sums[r] += popcount_bytes(kIsSign ? a ^ q_bytes : select_bits(a, p_bytes, q_bytes));
    }
  }
  const u16x32 low = load_counts(q_counts), high = load_counts(q_counts + 32);
  BITVIT_UNROLL
  for (size_t r = 0; r < kSharingRows; ++r) {
    store_counts(terms[r], widen_unsigned<0>(sums[r]) - low);
    store_counts(terms[r] + 32, widen_unsigned<1>(sums[r]) - high);
  }
}

template <size_t kGroups>
BITVIT_INLINE void count_rows(const uint8_t* const* rows, int16_t* const* terms, const ValueShape& shape,
                              const PackedBytes& packed) {
  const size_t stride = plane_bytes(shape) / kGroups, n_bytes = key_bytes(shape);
  int16_t* of_group[kSharingRows];
  for (size_t g = 0; g < kGroups; ++g) {
    for (size_t r = 0; r < kSharingRows; ++r) of_group[r] = terms[r] + g * 64;
    const uint8_t *const p = packed.p + g * stride, *const q = packed.q + g * stride;
    if (g == 0 && shape.first_plane_is_sign && shape.head_dim == 64) {
      count_group<true>(rows, of_group, n_bytes, p, q, packed.q_counts);
    } else {
      count_group<false>(rows, of_group, n_bytes, p, q, packed.q_counts + g * 64);
    }
  }
}

// The terms of a row from the list of its ones, or of its zeros, of which there are at most kMaxListed.
template <size_t kGroups>
BITVIT_INLINE void sum_listed(const uint64_t* row, bool lists_zeros, const ValueShape& shape, const PackedBytes& packed,
                              int16_t* terms) {
  alignas(64) uint8_t list[kMaxByteKeys + 64];
  alignas(64) static constexpr uint8_t kFirstKeys[64] = {
      0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
      22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
      44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
  u8x64 keys = load_bytes(kFirstKeys);
  const size_t n_words = (shape.n_keys + 63) / 64;
  size_t n = 0;
  for (size_t w = 0; w < n_words; ++w, keys += 64) {
    uint64_t word = lists_zeros ? ~row[w] : row[w];
    if (lists_zeros && w == n_words - 1 && shape.n_keys % 64 != 0) {
      word &= (static_cast<uint64_t>(1) << (shape.n_keys % 64)) - 1;
    }
    n += store_positions(list + n, word, keys);
  }
  // Filled up to fours with the row of zeros.
  const uint32_t zeros = 0x01010101u * static_cast<uint32_t>(8 * key_bytes(shape));
  __builtin_memcpy(list + n, &zeros, sizeof(zeros));
  u8x64 sums[kGroups] = {};
  for (size_t i = 0; i < n; i += 4) {
    BITVIT_UNROLL
    for (size_t j = 0; j < 4; ++j) {
      const uint8_t* const t = packed.t + list[i + j] * kGroups * 64;
      BITVIT_UNROLL
      for (size_t g = 0; g < kGroups; ++g) sums[g] += load_bytes(t + g * 64);
    }
  }
  BITVIT_UNROLL
  for (size_t g = 0; g < kGroups; ++g) {
    u16x32 low = widen_signed<0>(sums[g]), high = widen_signed<1>(sums[g]);
    if (lists_zeros) {
      low = load_counts(packed.totals + g * 64) - low;
      high = load_counts(packed.totals + g * 64 + 32) - high;
    }
    store_counts(terms + g * 64, low);
    store_counts(terms + g * 64 + 32, high);
  }
}

template <size_t kGroups>
void product_of(const uint64_t* masks, const PackedBytes& packed, const ValueShape& shape, const float* row_scale,
                const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, int16_t* terms) {
  const size_t n_words = (shape.n_keys + 63) / 64;
  const uint8_t* rows[kMaxMasks * kQueryBlock + kSharingRows];
  int16_t* outs[kMaxMasks * kQueryBlock + kSharingRows];
  const bool is_listed = has_lists(shape);
  for (size_t q0 = first; q0 < first + n_rows; q0 += kQueryBlock) {
    const size_t left = first + n_rows - q0, n_queries = left < kQueryBlock ? left : kQueryBlock;
    size_t n_dense = 0;
    for (size_t i = 0; i < shape.n_masks; ++i) {
      const uint64_t* row = masks + ((i * shape.n_heads + head) * shape.n_queries + q0) * n_words;
      for (size_t n = 0; n < n_queries; ++n, row += n_words) {
        int16_t* const out = terms + (i * kQueryBlock + n) * kGroups * 64;
        size_t ones = 0;
        for (size_t w = 0; is_listed && w < n_words; ++w) ones += static_cast<size_t>(__builtin_popcountll(row[w]));
        if (is_listed && ones <= kMaxListed) {
          sum_listed<kGroups>(row, false, shape, packed, out);
        } else if (is_listed && shape.n_keys - ones <= kMaxListed) {
          sum_listed<kGroups>(row, true, shape, packed, out);
        } else {
          rows[n_dense] = reinterpret_cast<const uint8_t*>(row);
          outs[n_dense++] = out;
        }
      }
    }
    for (size_t r = n_dense; r % kSharingRows != 0; ++r) {  // the last ones once more
      rows[r] = rows[n_dense - 1];
      outs[r] = outs[n_dense - 1];
    }
    for (size_t r = 0; r < n_dense; r += kSharingRows) count_rows<kGroups>(rows + r, outs + r, shape, packed);
    for (size_t n = 0; n < n_queries; ++n) {
      combine_row(shape, row_scale + head, column_scale, y + ((q0 + n) * shape.n_heads + head) * shape.head_dim,
                  [=](size_t i, size_t j, size_t d) __attribute__((always_inline)) {
                    return load_converted(terms + (i * kQueryBlock + n) * kGroups * 64 + j * shape.head_dim + d);
                  });
    }
  }
}

void product_bytes(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
                   const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const PackedBytes bytes = packed_bytes_of(shape, packed);
  int16_t* const terms = static_cast<int16_t*>(scratch);
  switch (lane_groups(shape)) {
    case 1:
      return product_of<1>(masks, bytes, shape, row_scale, column_scale, head, first, n_rows, y, terms);
    case 2:
      return product_of<2>(masks, bytes, shape, row_scale, column_scale, head, first, n_rows, y, terms);
    case 3:
      return product_of<3>(masks, bytes, shape, row_scale, column_scale, head, first, n_rows, y, terms);
    default:
      return product_of<4>(masks, bytes, shape, row_scale, column_scale, head, first, n_rows, y, terms);
  }
}

}  // namespace
}  // namespace bitvit::avx512

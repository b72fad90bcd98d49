// value_product.h with a byte a lane, plane after plane: 64 lanes (plane, channel) a register.
//
// Rows of masks with many ones: VPOPCNTB of the bytes of eight keys, A ? P : Q; minus popcount(Q) this is T. Eight rows
// share the loads of P and Q. Rows with few ones, or few zeros: the sum of the rows of those keys in the table t, which
// holds -1, 0 or 1; subtracted from the total where zeros are listed. Not for few keys.
//
// Planes after one of signs are mostly zeros, often in all channels of most keys. Where their groups begin anew, these
// keys are left out there, and a row that has ones for none of the others is not counted.
#pragma once

#include "kernels/value_product/combine_row.inl"
#include "kernels/value_product/packed_bytes_avx512.inl"

namespace bitvit::avx512 {
namespace {

constexpr size_t kMaxListed = 16;   // keys of a row that are added one by one: sums stay within a signed byte
constexpr size_t kQueryBlock = 16;  // queries whose terms wait in scratch
constexpr size_t kSharingRows = 8;
constexpr size_t kMaxMasks = 8;

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

// The rows as a whole, and what is kept of them for the groups after that of signs.
template <size_t kGroups>
BITVIT_INLINE void count_rows(const uint8_t* const* rows, const uint8_t* const* kept, int16_t* const* terms,
                              const ValueShape& shape, const PackedBytes& packed) {
  const size_t stride = plane_bytes(shape) / kGroups, n_bytes = key_bytes(shape);
  int16_t* of_group[kSharingRows];
  for (size_t g = 0; g < kGroups; ++g) {
    for (size_t r = 0; r < kSharingRows; ++r) of_group[r] = terms[r] + g * 64;
    const uint8_t *const p = packed.p + g * stride, *const q = packed.q + g * stride;
    if (g == 0 && shape.first_plane_is_sign && shape.head_dim == 64) {
      count_group<true>(rows, of_group, n_bytes, p, q, packed.q_counts);
    } else if (g == 0) {
      count_group<false>(rows, of_group, n_bytes, p, q, packed.q_counts);
    } else {
      count_group<false>(kept, of_group, packed.used.n_bytes, p, q, packed.q_counts + g * 64);
    }
  }
}

// The terms of a row from the list of its ones, or of its zeros, of which there are at most kMaxListed: those of the
// first kWanted of kGroups groups.
template <size_t kGroups, size_t kWanted>
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
  u8x64 sums[kWanted] = {};
  for (size_t i = 0; i < n; i += 4) {
    BITVIT_UNROLL
    for (size_t j = 0; j < 4; ++j) {
      const uint8_t* const t = packed.t + list[i + j] * kGroups * 64;
      BITVIT_UNROLL
      for (size_t g = 0; g < kWanted; ++g) sums[g] += load_bytes(t + g * 64);
    }
  }
  BITVIT_UNROLL
  for (size_t g = 0; g < kWanted; ++g) {
    u16x32 low = widen_signed<0>(sums[g]), high = widen_signed<1>(sums[g]);
    if (lists_zeros) {
      low = load_counts(packed.totals + g * 64) - low;
      high = load_counts(packed.totals + g * 64 + 32) - high;
    }
    store_counts(terms + g * 64, low);
    store_counts(terms + g * 64 + 32, high);
  }
}

// The end of value_product.h for a row whose groups are planes. has_others: whether a mask has terms of planes after
// the first.
template <size_t kGroups>
BITVIT_INLINE void combine_planes(const ValueShape& shape, const float* row_scale, const float* column_scale,
                                  const int16_t* terms, const bool* has_others, float* y) {
  f32x16 sum[4];
  for (size_t i = 0; i < shape.n_masks; ++i, terms += kQueryBlock * kGroups * 64) {
    f32x16 r[4];
    BITVIT_UNROLL
    for (size_t d = 0; d < 4; ++d) r[d] = broadcast(column_scale[0]) * load_converted(terms + 16 * d);
    BITVIT_UNROLL
    for (size_t j = 1; j < kGroups; ++j) {
      const f32x16 scale = broadcast(column_scale[j]), none = scale * broadcast(0.0f);
      BITVIT_UNROLL
      for (size_t d = 0; d < 4; ++d) {
        r[d] = r[d] + (has_others[i] ? scale * load_converted(terms + j * 64 + 16 * d) : none);
      }
    }
    const f32x16 scale = broadcast(row_scale[i * shape.n_heads]);
    BITVIT_UNROLL
    for (size_t d = 0; d < 4; ++d) sum[d] = i == 0 ? scale * r[d] : sum[d] + scale * r[d];
  }
  BITVIT_UNROLL
  for (size_t d = 0; d < 4; ++d) store(y + 16 * d, sum[d]);
}

template <size_t kGroups>
void product_of(const uint64_t* masks, const PackedBytes& packed, const ValueShape& shape, const float* row_scale,
                const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, int16_t* terms) {
  constexpr size_t kMostRows = kMaxMasks * kQueryBlock + kSharingRows;
  const size_t n_words = (shape.n_keys + 63) / 64;
  const uint8_t *rows[kMostRows], *kept[kMostRows];
  int16_t* outs[kMostRows];
  uint64_t kept_words[kMaxMasks * kQueryBlock][kMaxKeyWords];
  bool has_others[kQueryBlock][kMaxMasks];
  const bool is_listed = has_lists(shape), is_parted = parts_signs(shape), keeps_all = packed.used.are_all != 0;
  for (size_t q0 = first; q0 < first + n_rows; q0 += kQueryBlock) {
    const size_t left = first + n_rows - q0, n_queries = left < kQueryBlock ? left : kQueryBlock;
    size_t n_dense = 0;
    for (size_t i = 0; i < shape.n_masks; ++i) {
      const uint64_t* row = masks + ((i * shape.n_heads + head) * shape.n_queries + q0) * n_words;
      for (size_t n = 0; n < n_queries; ++n, row += n_words) {
        int16_t* const out = terms + (i * kQueryBlock + n) * kGroups * 64;
        size_t ones = 0;
        uint64_t used = 0;
        for (size_t w = 0; w < n_words; ++w) {
          ones += static_cast<size_t>(__builtin_popcountll(row[w]));
          used |= row[w] & packed.used.words[w];
        }
        has_others[n][i] = keeps_all || used != 0;
        if (is_listed && ones <= kMaxListed) {
          if (has_others[n][i] || !is_parted) {
            sum_listed<kGroups, kGroups>(row, false, shape, packed, out);
          } else {
            sum_listed<kGroups, 1>(row, false, shape, packed, out);
          }
        } else if (is_listed && shape.n_keys - ones <= kMaxListed) {
          sum_listed<kGroups, kGroups>(row, true, shape, packed, out);
        } else {
          rows[n_dense] = kept[n_dense] = reinterpret_cast<const uint8_t*>(row);
          if (!keeps_all) {
            keep_used(row, packed.used.words, n_words, kept_words[n_dense]);
            kept[n_dense] = reinterpret_cast<const uint8_t*>(kept_words[n_dense]);
          }
          outs[n_dense++] = out;
        }
      }
    }
    for (size_t r = n_dense; r % kSharingRows != 0; ++r) {  // the last ones once more
      rows[r] = rows[n_dense - 1];
      kept[r] = kept[n_dense - 1];
      outs[r] = outs[n_dense - 1];
    }
    for (size_t r = 0; r < n_dense; r += kSharingRows) count_rows<kGroups>(rows + r, kept + r, outs + r, shape, packed);
    for (size_t n = 0; n < n_queries; ++n) {
      float* const out = y + ((q0 + n) * shape.n_heads + head) * shape.head_dim;
      if (is_parted) {
        combine_planes<kGroups>(shape, row_scale + head, column_scale, terms + n * kGroups * 64, has_others[n], out);
        continue;
      }
      combine_row(shape, row_scale + head, column_scale, out,
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

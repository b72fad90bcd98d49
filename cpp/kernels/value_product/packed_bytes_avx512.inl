// How the kernel of bytes_avx512.inl packs the planes of a head, a byte a lane, plane after plane.
#pragma once

#include "kernels/bytes_avx512.h"
#include "kernels/value_product/value_product.h"

namespace bitvit::avx512 {
namespace {

constexpr size_t kMaxByteKeys = 248;  // counts and numbers of keys, that of the row of zeros included, are bytes
constexpr size_t kMaxByteLanes = 256;
constexpr size_t kMinListedKeys = 80;  // fewer are counted faster than a list is made
constexpr size_t kMaxKeyWords = 4;

bool has_byte_lanes(const ValueShape& shape) {
  return shape.n_keys <= kMaxByteKeys && shape.n_planes * shape.head_dim <= kMaxByteLanes;
}

bool has_lists(const ValueShape& shape) { return shape.n_keys >= kMinListedKeys; }

size_t lane_groups(const ValueShape& shape) { return (shape.n_planes * shape.head_dim + 63) / 64; }
size_t key_bytes(const ValueShape& shape) { return (shape.n_keys + 7) / 8; }

size_t plane_bytes(const ValueShape& shape) { return lane_groups(shape) * ((shape.n_keys + 63) / 64 * 8) * 64; }

// Whether the first group is a plane of signs, and there are others.
bool parts_signs(const ValueShape& shape) {
  return shape.first_plane_is_sign && shape.head_dim == 64 && shape.n_planes > 1;
}

// Which keys the groups after that of signs need, if some are left out.
struct UsedKeys {
  uint64_t words[kMaxKeyWords];
  uint64_t n_bytes;  // for the groups, key_bytes(shape) if all keys are kept
  uint64_t are_all;
};

// Where a packed head has, after the used keys, P and Q ([group][key byte, whole words][64]), t ([key][group][64], then
// a row of zeros), the totals of t, and the counts of Q (both [group][64], 16 bits).
struct ByteOffsets {
  size_t p, q, t, totals, q_counts, end;
};
static_assert(sizeof(UsedKeys) <= 64);

BITVIT_INLINE ByteOffsets byte_offsets(const ValueShape& shape) {
  const size_t row = lane_groups(shape) * 64, planes = plane_bytes(shape);
  const size_t p = 64, t = p + 2 * planes, totals = t + (8 * key_bytes(shape) + 1) * row;
  return {p, p + planes, t, totals, totals + 2 * row, totals + 4 * row};
}

size_t byte_packed_bytes(const ValueShape& shape) { return byte_offsets(shape).end; }

// A packed head.
struct PackedBytes {
  UsedKeys used;
  const uint8_t *p, *q, *t;
  const int16_t *totals, *q_counts;
};

BITVIT_INLINE PackedBytes packed_bytes_of(const ValueShape& shape, const void* packed) {
  const uint8_t* const start = static_cast<const uint8_t*>(packed);
  const ByteOffsets at = byte_offsets(shape);
  UsedKeys used;
  __builtin_memcpy(&used, packed, sizeof(used));
  return {used,
          start + at.p,
          start + at.q,
          start + at.t,
          reinterpret_cast<const int16_t*>(start + at.totals),
          reinterpret_cast<const int16_t*>(start + at.q_counts)};
}

BITVIT_INLINE void store_counts(int16_t* p, const u16x32& x) { __builtin_memcpy(p, &x, sizeof(x)); }
BITVIT_INLINE u16x32 load_counts(const int16_t* p) {
  u16x32 r;
  __builtin_memcpy(&r, p, sizeof(r));
  return r;
}

// The bits of `row` at the places of `used`, one after the other, then zeros.
BITVIT_INLINE void keep_used(const uint64_t* row, const uint64_t* used, size_t n_words, uint64_t* kept) {
  uint64_t word = 0;
  size_t n_bits = 0, n_kept = 0;
  for (size_t w = 0; w < n_words; ++w) {
    const uint64_t bits = extract_bits(row[w], used[w]);
    word |= bits << n_bits;
    const size_t n = n_bits + static_cast<size_t>(__builtin_popcountll(used[w]));
    if (n >= 64) {
      kept[n_kept++] = word;
      word = n_bits == 0 ? 0 : bits >> (64 - n_bits);
    }
    n_bits = n % 64;
  }
  if (n_kept < n_words) kept[n_kept] = word;
}

UsedKeys find_used(const uint64_t* planes, const ValueShape& shape, size_t head) {
  UsedKeys used = {{}, key_bytes(shape), 1};
  if (!parts_signs(shape) || shape.n_keys <= 8) return used;
  const size_t n_words = (shape.n_keys + 63) / 64, of_head = 64 * n_words, plane = shape.n_heads * of_head;
  // Eight rows are n_words registers.
  u8x64 any[kMaxKeyWords] = {};
  for (size_t j = 0; j < 2 * shape.n_planes; ++j) {
    if (j % shape.n_planes == 0) continue;
    const uint64_t* const rows = planes + j * plane + head * of_head;
    for (size_t i = 0; i < of_head; i += 8 * n_words) {
      for (size_t w = 0; w < n_words; ++w) any[w] |= load_bytes(rows + i + 8 * w);
    }
  }
  uint64_t all[kMaxKeyWords * 8];
  __builtin_memcpy(all, any, sizeof(all));
  for (size_t i = 0; i < n_words * 8; ++i) used.words[i % n_words] |= all[i];
  size_t n_used = 0;
  for (size_t w = 0; w < n_words; ++w) n_used += static_cast<size_t>(__builtin_popcountll(used.words[w]));
  used.n_bytes = (n_used + 7) / 8;
  used.are_all = used.n_bytes == key_bytes(shape);
  return used;
}

// The bytes of equal rank of 64 lanes, one word after the other: [key byte][64].
BITVIT_INLINE void transpose_rows(const uint64_t* const* rows, size_t offset, size_t n_words, uint8_t* out) {
  for (size_t w = 0; w < n_words; ++w) {
    alignas(64) uint64_t words[64];
    for (size_t l = 0; l < 64; ++l) words[l] = rows[l] != nullptr ? rows[l][offset + w] : 0;
    transpose_words(words, out + w * 512);
  }
}

// Without the keys that are not used.
BITVIT_INLINE void transpose_kept(const uint64_t* const* rows, size_t offset, const UsedKeys& used, size_t n_words,
                                  uint8_t* out) {
  alignas(64) uint64_t words[kMaxKeyWords][64] = {};
  for (size_t l = 0; l < 64; ++l) {
    const uint64_t* const row = rows[l] + offset;
    uint64_t kept[kMaxKeyWords], any = 0;
    for (size_t w = 0; w < n_words; ++w) any |= row[w];
    if (any == 0) continue;
    keep_used(row, used.words, n_words, kept);
    for (size_t w = 0; 8 * w < used.n_bytes; ++w) words[w][l] = kept[w];
  }
  for (size_t w = 0; 8 * w < used.n_bytes; ++w) transpose_words(words[w], out + w * 512);
}

void pack_bytes(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed) {
  uint8_t* const out = static_cast<uint8_t*>(packed);
  const ByteOffsets at = byte_offsets(shape);
  const UsedKeys used = find_used(planes, shape, head);
  __builtin_memcpy(packed, &used, sizeof(used));
  int16_t* const totals = reinterpret_cast<int16_t*>(out + at.totals);
  int16_t* const counts_of_q = reinterpret_cast<int16_t*>(out + at.q_counts);
  const size_t n_words = (shape.n_keys + 63) / 64, n_groups = lane_groups(shape), width = shape.head_dim;
  const size_t side = shape.n_planes * shape.n_heads * width * n_words;
  size_t plane = 0, channel = 0;  // of the next lane
  for (size_t g = 0; g < n_groups; ++g) {
    const uint64_t* rows[64];
    for (size_t l = 0; l < 64; ++l) {
      const size_t row = (plane * shape.n_heads + head) * width + channel;
      rows[l] = plane < shape.n_planes ? planes + row * n_words : nullptr;
      if (++channel == width) {
        channel = 0;
        ++plane;
      }
    }
    uint8_t* const p = out + at.p + g * n_words * 512;
    uint8_t* const q = out + at.q + g * n_words * 512;
    transpose_rows(rows, 0, n_words, p);
    transpose_rows(rows, side, n_words, q);
    u8x64 p_sum = {}, q_sum = {};
    for (size_t k = 0; k < key_bytes(shape); ++k) {
      const u8x64 p_bytes = load_bytes(p + 64 * k), q_bytes = load_bytes(q + 64 * k);
      p_sum += popcount_bytes(p_bytes);
      q_sum += popcount_bytes(q_bytes);
      if (!has_lists(shape)) continue;
      uint8_t* const t = out + at.t + (8 * k * n_groups + g) * 64;
      BITVIT_UNROLL
      for (size_t bit = 0; bit < 8; ++bit) {
        store_bytes(t + bit * n_groups * 64, ternary_bytes(p_bytes, q_bytes, static_cast<uint8_t>(1u << bit)));
      }
    }
    store_bytes(out + at.t + (8 * key_bytes(shape) * n_groups + g) * 64, u8x64{});
    const u16x32 p_counts[2] = {widen_unsigned<0>(p_sum), widen_unsigned<1>(p_sum)};
    const u16x32 q_counts[2] = {widen_unsigned<0>(q_sum), widen_unsigned<1>(q_sum)};
    for (size_t half = 0; half < 2; ++half) {
      store_counts(counts_of_q + g * 64 + 32 * half, q_counts[half]);
      store_counts(totals + g * 64 + 32 * half, p_counts[half] - q_counts[half]);
    }
    if (g > 0 && used.are_all == 0) {
      transpose_kept(rows, 0, used, n_words, p);
      transpose_kept(rows, side, used, n_words, q);
    }
  }
}

}  // namespace
}  // namespace bitvit::avx512

// Heads of up to 126 channels: counts are bytes, a key each, 64 keys in a register, which VPOPCNTB counts for byte w of
// the query and byte w of all keys. The keys of a block are ordered so that the four bytes of a float, each looked up
// by VPERMI2B in a table of 128 entries, interleave to floats in the order of the keys: byte 16 L + 4 r + i is key 16 r
// + 4 L + i.
//
// Wider heads: sixteen keys in the lanes of VPOPCNTD (kernels/lanes_avx512.inl).
#include "kernels/attention_masks/attention_masks.h"
#include "kernels/attention_masks/key_order.h"
#include "kernels/attention_masks/look_up_table.inl"
#include "kernels/bytes_avx512.h"
#include "kernels/lanes_avx512.inl"

namespace bitvit::avx512 {
namespace {

constexpr size_t kCountRows = 8;
constexpr size_t kBlock = 64;
constexpr size_t kEntries = 128;            // of a table of bytes
constexpr uint8_t kNoEntry = kEntries - 1;  // is 0: of the keys that fill up the last block
constexpr size_t kMaxByteDim = kEntries - 2;

alignas(64) constexpr KeyMasks<kBlock> kKeyMasks = make_key_masks<kBlock>();

BITVIT_INLINE bool has_byte_counts(const AttentionShape& shape) { return shape.head_dim <= kMaxByteDim; }
BITVIT_INLINE size_t n_blocks(const AttentionShape& shape) { return (shape.n_keys + kBlock - 1) / kBlock; }
BITVIT_INLINE size_t n_bytes(const AttentionShape& shape) { return (shape.head_dim + 7) / 8; }

size_t packed_bytes(const AttentionShape& shape) {
  return has_byte_counts(shape) ? n_blocks(shape) * n_bytes(shape) * kBlock
                                : packed_lane_bytes(shape.head_dim, shape.n_keys);
}

// Bytes: [block][byte of the key][64].
void pack_keys(const uint64_t* keys, size_t stride, const AttentionShape& shape, void* packed) {
  if (!has_byte_counts(shape)) {
    pack_lanes([=](size_t m) { return keys + m * stride; }, shape.head_dim, shape.n_keys,
               static_cast<uint32_t*>(packed));
    return;
  }
  uint8_t* out = static_cast<uint8_t*>(packed);
  const size_t bytes = n_bytes(shape);
  for (size_t first = 0; first < shape.n_keys; first += kBlock, out += bytes * kBlock) {
    for (size_t i = 0; i < kBlock; ++i) {
      const size_t m = first + key_of_byte<kBlock>(i);
      const uint8_t* const key = reinterpret_cast<const uint8_t*>(keys + (m < shape.n_keys ? m : 0) * stride);
      for (size_t w = 0; w < bytes; ++w) out[w * kBlock + i] = key[w];
    }
  }
}

// Bytes: those of all blocks, then the least of them, 64 times.
size_t count_stride(const AttentionShape& shape) {
  return has_byte_counts(shape) ? (n_blocks(shape) + 1) * kBlock / 2 : (shape.n_keys + kLanes - 1) / kLanes * kLanes;
}

// The table by byte of a float: [4][128].
size_t step_bytes(const AttentionShape& shape) { return has_byte_counts(shape) ? 4 * kEntries : 0; }

BITVIT_INLINE void prepare(const AttentionShape& shape, const float* table, void* scratch) {
  if (!has_byte_counts(shape)) return;
  uint8_t* const bytes = static_cast<uint8_t*>(scratch);
  for (size_t i = 0; i < kEntries; ++i) {
    uint32_t entry = 0;
    if (i <= shape.head_dim) __builtin_memcpy(&entry, table + i, sizeof(entry));
    for (size_t k = 0; k < 4; ++k) bytes[k * kEntries + i] = static_cast<uint8_t>(entry >> (8 * k));
  }
}

// Counts of 64 keys; kBytes: bytes of a key, 0: n_bytes.
template <size_t kBytes>
BITVIT_INLINE u8x64 count_block(const uint8_t* query, const uint8_t* keys, size_t n_bytes) {
  if constexpr (kBytes == 0) {
    u8x64 sum = {};
    for (size_t w = 0; w < n_bytes; ++w) {
      sum += popcount_bytes(load_bytes(keys + w * kBlock) ^ broadcast_byte(query[w]));
    }
    return sum;
  } else {
    u8x64 counts[kBytes];
    BITVIT_UNROLL
    for (size_t w = 0; w < kBytes; ++w) {
      counts[w] = popcount_bytes(load_bytes(keys + w * kBlock) ^ broadcast_byte(query[w]));
    }
    // As a tree: additions one after the other would have to wait for each other.
    BITVIT_UNROLL
    for (size_t half = kBytes / 2; half > 0; half /= 2) {
      BITVIT_UNROLL
      for (size_t w = 0; w < half; ++w) counts[w] += counts[w + half];
    }
    return counts[0];
  }
}

template <size_t kBytes>
BITVIT_INLINE void count_as_bytes(const uint64_t* queries, size_t stride, const uint8_t* keys,
                                  const AttentionShape& shape, size_t n_rows, uint16_t* counts) {
  const size_t last = n_blocks(shape) - 1, bytes = n_bytes(shape);
  const u8x64 beyond = load_bytes(kKeyMasks.beyond[shape.n_keys - last * kBlock]);
  for (size_t r = 0; r < n_rows; ++r, queries += stride, counts += count_stride(shape)) {
    const uint8_t* const query = reinterpret_cast<const uint8_t*>(queries);
    uint8_t* const out = reinterpret_cast<uint8_t*>(counts);
    u8x64 least = broadcast_byte(255);
    for (size_t b = 0; b < last; ++b) {
      const u8x64 sum = count_block<kBytes>(query, keys + b * bytes * kBlock, bytes);
      least = min_bytes(least, sum);
      store_bytes(out + b * kBlock, sum);
    }
    const u8x64 sum = count_block<kBytes>(query, keys + last * bytes * kBlock, bytes) | beyond;
    store_bytes(out + last * kBlock, sum);
    store_bytes(out + (last + 1) * kBlock, broadcast_byte(least_byte(min_bytes(least, sum))));
  }
}

BITVIT_INLINE void count_in_lanes(const uint64_t* queries, size_t stride, const uint32_t* lanes,
                                  const AttentionShape& shape, size_t n_rows, uint16_t* counts) {
  const size_t n_words = half_words(shape.head_dim), out_stride = count_stride(shape);
  for (size_t m = 0; m < shape.n_keys; m += kLanes, lanes += n_words * kLanes) {
    for (size_t w = 0; w < n_words; w += kMaxWords) {
      with_word_count(n_words - w < kMaxWords ? n_words - w : kMaxWords,
                      [&](auto count) __attribute__((always_inline)) {
                        count_differing<decltype(count)::value>(
                            queries, stride, w, n_rows, lanes + w * kLanes,
                            [=](size_t r) __attribute__((always_inline)) {
                              return w == 0 ? u32x16{} : load_u16_wide(counts + r * out_stride + m);
                            },
                            [=](size_t r, const u32x16& sum)
                                __attribute__((always_inline)) { store_u16_wide(counts + r * out_stride + m, sum); });
                      });
    }
  }
}

void count_keys(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
                size_t n_rows, uint16_t* counts, void*) {
  const uint8_t* const keys = static_cast<const uint8_t*>(packed_keys);
  if (!has_byte_counts(shape)) {
    return count_in_lanes(queries, stride, static_cast<const uint32_t*>(packed_keys), shape, n_rows, counts);
  }
  switch (n_bytes(shape)) {
    case 4:
      return count_as_bytes<4>(queries, stride, keys, shape, n_rows, counts);
    case 8:
      return count_as_bytes<8>(queries, stride, keys, shape, n_rows, counts);
    default:
      return count_as_bytes<0>(queries, stride, keys, shape, n_rows, counts);
  }
}

struct ByteTable {
  u8x64 low[4], high[4];
};

// 16 * kVectors floats, added to sum.
template <size_t kVectors>
BITVIT_INLINE void look_up_block(const u8x64& index, const ByteTable& table, float* row, f32x16& sum) {
  u8x64 bytes[4];
  BITVIT_UNROLL
  for (int k = 0; k < 4; ++k) bytes[k] = look_up_128(table.low[k], table.high[k], index);
  const u8x64 low01 = interleave_low_8(bytes[0], bytes[1]), low23 = interleave_low_8(bytes[2], bytes[3]);
  const u8x64 high01 = interleave_high_8(bytes[0], bytes[1]), high23 = interleave_high_8(bytes[2], bytes[3]);
  const u8x64 floats[4] = {interleave_low_16(low01, low23), interleave_high_16(low01, low23),
                           interleave_low_16(high01, high23), interleave_high_16(high01, high23)};
  BITVIT_UNROLL
  for (size_t i = 0; i < kVectors; ++i) {
    f32x16 x;
    __builtin_memcpy(&x, &floats[i], sizeof(x));
    store(row + 16 * i, x);
    sum = sum + x;
  }
}

BITVIT_INLINE f32x16 look_up_bytes(const uint8_t* counts, size_t n_keys, const uint8_t* table, float* row) {
  ByteTable t;
  BITVIT_UNROLL
  for (size_t k = 0; k < 4; ++k) {
    t.low[k] = load_bytes(table + k * kEntries);
    t.high[k] = load_bytes(table + k * kEntries + kEntries / 2);
  }
  const size_t tail = (n_keys - 1) / kBlock * kBlock;
  const u8x64 least = load_bytes(counts + tail + kBlock);
  f32x16 sum = broadcast(0.0f);
  for (size_t m = 0; m < tail; m += kBlock) look_up_block<4>(load_bytes(counts + m) - least, t, row + m, sum);
  const u8x64 index = min_bytes(load_bytes(counts + tail) - least, broadcast_byte(kNoEntry));
  switch ((n_keys - tail + 15) / 16) {
    case 1:
      look_up_block<1>(index, t, row + tail, sum);
      break;
    case 2:
      look_up_block<2>(index, t, row + tail, sum);
      break;
    case 3:
      look_up_block<3>(index, t, row + tail, sum);
      break;
    default:
      look_up_block<4>(index, t, row + tail, sum);
  }
  return sum;
}

BITVIT_INLINE f32x16 look_up_table(const uint16_t* counts, const AttentionShape& shape, const float* table,
                                   void* scratch, float* row) {
  if (!has_byte_counts(shape)) return look_up_ordered(counts, shape.n_keys, table, row);
  return look_up_bytes(reinterpret_cast<const uint8_t*>(counts), shape.n_keys, static_cast<const uint8_t*>(scratch),
                       row);
}

}  // namespace
}  // namespace bitvit::avx512

#include "kernels/attention_masks/attention_masks.inl"

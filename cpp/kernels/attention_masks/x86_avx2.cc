// Keys in the lanes of the table lookup (kernels/nibble_avx2.inl), two queries at a time of eight whose softmax is one
// task. Keys of a strip are ordered so that the 32-bit results, to which the bytes of four registers interleave, are in
// order: byte 4 g + i of the first half is key 8 g + i, of the second half key 8 g + 4 + i (i < 4).
//
// Where the counts fit in bytes, the softmax table is looked up by vpshufb too: 16 entries at a time, each of the four
// bytes of a float by itself.
#include "kernels/attention_masks/attention_masks.h"
#include "kernels/attention_masks/key_order.h"
#include "kernels/nibble_avx2.inl"

namespace bitvit::avx2 {
namespace {

constexpr size_t kCountRows = 8;

constexpr size_t byte_of_key(size_t m) { return m % 8 / 4 * 16 + m / 8 * 4 + m % 4; }

constexpr KeyMasks<kStrip> kKeyMasks = make_key_masks<kStrip>();

BITVIT_INLINE Strips strips_of(const AttentionShape& shape) { return Strips(shape.n_keys, kMaxStrips); }

BITVIT_INLINE size_t padded_keys(const AttentionShape& shape) { return strips_of(shape).n_lanes(); }

BITVIT_INLINE bool has_byte_counts(const AttentionShape& shape) {
  return nibble_steps(shape.head_dim) <= kMaxByteSteps;
}

size_t packed_bytes(const AttentionShape& shape) { return packed_lane_bytes(shape.head_dim, shape.n_keys); }

void pack_keys(const uint64_t* keys, size_t stride, const AttentionShape& shape, void* packed) {
  const Strips strips = strips_of(shape);
  const auto get_row = [=](size_t lane) {
    const size_t m = lane / kStrip * kStrip + key_of_byte<kStrip>(lane % kStrip);
    return keys + (m < shape.n_keys ? m : 0) * stride;  // the counts of missing keys are not used
  };
  pack_lanes(get_row, shape.head_dim, strips.n_lanes(), strips, static_cast<uint8_t*>(packed));
}

size_t count_stride(const AttentionShape& shape) { return strips_of(shape).n_lanes(); }

constexpr size_t kTableBytes = (kMaxByteSteps * 4 / 16 + 1) * 4 * 16;

// The steps of two queries, and the bytes of the table: [16 entries][byte of the float][entry].
size_t step_bytes(const AttentionShape& shape) {
  return (pair_steps(shape.head_dim) * 2 + 63) / 64 * 64 + (has_byte_counts(shape) ? kTableBytes : 0);
}

BITVIT_INLINE uint8_t* table_bytes(const AttentionShape& shape, void* scratch) {
  return static_cast<uint8_t*>(scratch) + (pair_steps(shape.head_dim) * 2 + 63) / 64 * 64;
}

BITVIT_INLINE void prepare(const AttentionShape& shape, const float* table, void* scratch) {
  if (!has_byte_counts(shape)) return;
  uint8_t* const bytes = table_bytes(shape, scratch);
  for (size_t i = 0; i < (shape.head_dim / 16 + 1) * 16; ++i) {
    uint32_t entry = 0;
    if (i <= shape.head_dim) __builtin_memcpy(&entry, table + i, sizeof(entry));
    for (size_t k = 0; k < 4; ++k) bytes[i / 16 * 64 + k * 16 + i % 16] = static_cast<uint8_t>(entry >> (8 * k));
  }
}

template <typename Count>
BITVIT_INLINE void count_as(const uint64_t* queries, size_t stride, const void* packed_keys,
                            const AttentionShape& shape, size_t n_rows, uint16_t* counts, void* scratch) {
  uint16_t* const places = static_cast<uint16_t*>(scratch);
  const size_t n_steps = nibble_steps(shape.head_dim), out_stride = count_stride(shape);
  const Strips strips = strips_of(shape);
  for (size_t r = 0; r < n_rows; r += 2, queries += 2 * stride, counts += 2 * out_stride) {
    // The last of an odd number is its own partner; there is a place for its counts too.
    expand_pair(queries, n_rows - r < 2 ? queries : queries + stride, shape.head_dim, places);
    count_all({places, nullptr}, n_steps, static_cast<const uint8_t*>(packed_keys), strips, n_steps, kXorTable,
              reinterpret_cast<Count*>(counts), reinterpret_cast<Count*>(counts + out_stride));
  }
}

void count_keys(const uint64_t* queries, size_t stride, const void* packed_keys, const AttentionShape& shape,
                size_t n_rows, uint16_t* counts, void* scratch) {
  if (has_byte_counts(shape)) {
    count_as<uint8_t>(queries, stride, packed_keys, shape, n_rows, counts, scratch);
  } else {
    count_as<uint16_t>(queries, stride, packed_keys, shape, n_rows, counts, scratch);
  }
}

BITVIT_INLINE __m256i load_bytes(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

BITVIT_INLINE uint32_t least_byte(const __m256i& x) {
  const __m128i half = _mm_min_epu8(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  const __m128i pairs = _mm_min_epu8(half, _mm_srli_epi16(half, 8));  // its even bytes
  return static_cast<uint32_t>(_mm_extract_epi16(_mm_minpos_epu16(pairs), 0)) & 255;
}

// 32 entries of the table, eight a register. Indices of more than `last` segments give 0.
BITVIT_INLINE void look_up_strip(const __m256i& index, const uint8_t* table, size_t last, __m256* out) {
  __m256i bytes[4];
  BITVIT_UNROLL
  for (int k = 0; k < 4; ++k) bytes[k] = _mm256_setzero_si256();
  for (size_t segment = 0; segment <= last; ++segment, table += 64) {
    // An index of another segment gets its highest bit set, for which vpshufb gives 0.
    const __m256i within = _mm256_adds_epu8(_mm256_xor_si256(index, _mm256_set1_epi8(static_cast<char>(16 * segment))),
                                            _mm256_set1_epi8(0x70));
    BITVIT_UNROLL
    for (int k = 0; k < 4; ++k) {
      const __m128i* const entries = reinterpret_cast<const __m128i*>(table + 16 * k);
      bytes[k] =
          _mm256_or_si256(bytes[k], _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(entries)), within));
    }
  }
  const __m256i low01 = _mm256_unpacklo_epi8(bytes[0], bytes[1]), low23 = _mm256_unpacklo_epi8(bytes[2], bytes[3]);
  const __m256i high01 = _mm256_unpackhi_epi8(bytes[0], bytes[1]), high23 = _mm256_unpackhi_epi8(bytes[2], bytes[3]);
  out[0] = _mm256_castsi256_ps(_mm256_unpacklo_epi16(low01, low23));
  out[1] = _mm256_castsi256_ps(_mm256_unpackhi_epi16(low01, low23));
  out[2] = _mm256_castsi256_ps(_mm256_unpacklo_epi16(high01, high23));
  out[3] = _mm256_castsi256_ps(_mm256_unpackhi_epi16(high01, high23));
}

BITVIT_INLINE f32x16 look_up_bytes(const uint8_t* counts, size_t n_keys, const uint8_t* table, float* row) {
  const size_t n_strips = (n_keys + kStrip - 1) / kStrip, tail = (n_strips - 1) * kStrip;
  const __m256i beyond = load_bytes(kKeyMasks.beyond[n_keys - tail]);
  __m256i least = _mm256_or_si256(load_bytes(counts + tail), beyond);
  __m256i largest = _mm256_andnot_si256(beyond, load_bytes(counts + tail));
  for (size_t m = 0; m < tail; m += kStrip) {
    least = _mm256_min_epu8(least, load_bytes(counts + m));
    largest = _mm256_max_epu8(largest, load_bytes(counts + m));
  }
  const uint32_t smallest = least_byte(least);
  const uint32_t greatest = 255 - least_byte(_mm256_xor_si256(largest, _mm256_set1_epi8(-1)));
  const size_t last = (greatest - smallest) / 16;
  const __m256i base = _mm256_set1_epi8(static_cast<char>(smallest));
  __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (size_t m = 0; m <= tail; m += kStrip) {
    __m256i index = _mm256_sub_epi8(load_bytes(counts + m), base);
    if (m == tail) index = _mm256_or_si256(index, beyond);  // 255: no entry, 0
    __m256 part[4];
    look_up_strip(index, table, last, part);
    BITVIT_UNROLL
    for (int i = 0; i < 4; ++i) {
      _mm256_storeu_ps(row + m + 8 * static_cast<size_t>(i), part[i]);
      sum[i % 2] = _mm256_add_ps(sum[i % 2], part[i]);
    }
  }
  f32x16 result;
  result.v[0] = (native_f32)sum[0];
  result.v[1] = (native_f32)sum[1];
  return result;
}

BITVIT_INLINE f32x16 look_up_table(const uint16_t* counts, const AttentionShape& shape, const float* table,
                                   void* scratch, float* row) {
  if (has_byte_counts(shape)) {
    return look_up_bytes(reinterpret_cast<const uint8_t*>(counts), shape.n_keys, table_bytes(shape, scratch), row);
  }
  const size_t n_padded = padded_keys(shape);
  const auto count_of = [=](size_t m) __attribute__((always_inline)) {
    return counts[m / kStrip * kStrip + byte_of_key(m % kStrip)];
  };
  uint16_t least = counts[0];
  for (size_t m = 1; m < shape.n_keys; ++m) least = count_of(m) < least ? count_of(m) : least;
  for (size_t m = 0; m < shape.n_keys; ++m) row[m] = table[count_of(m) - least];
  for (size_t m = shape.n_keys; m < n_padded; ++m) row[m] = 0.0f;
  f32x16 sum = load(row);
  for (size_t m = 16; m < n_padded; m += 16) sum = sum + load(row + m);
  return sum;
}

}  // namespace
}  // namespace bitvit::avx2

#include "kernels/attention_masks/attention_masks.inl"

// Operations on 64 bytes for the AVX-512 kernels (BW, BITALG, VBMI), on GCC/Clang vectors; emulated as in
// kernels/wide_avx512.h.
#pragma once

#include "kernels/wide_avx512.h"

namespace bitvit::avx512 {

typedef uint8_t u8x64 __attribute__((vector_size(64)));
typedef uint16_t u16x32 __attribute__((vector_size(64)));

BITVIT_INLINE u8x64 load_bytes(const void* p) {
  u8x64 r;
  __builtin_memcpy(&r, p, sizeof(r));
  return r;
}

BITVIT_INLINE void store_bytes(void* p, const u8x64& x) { __builtin_memcpy(p, &x, sizeof(x)); }

#if !defined(BITVIT_EMULATE_AVX512)

BITVIT_INLINE u8x64 broadcast_byte(uint8_t x) { return (u8x64)_mm512_set1_epi8(static_cast<char>(x)); }

BITVIT_INLINE u8x64 popcount_bytes(const u8x64& x) { return (u8x64)_mm512_popcnt_epi8((__m512i)x); }

BITVIT_INLINE u8x64 min_bytes(const u8x64& a, const u8x64& b) { return (u8x64)_mm512_min_epu8((__m512i)a, (__m512i)b); }

BITVIT_INLINE uint8_t least_byte(const u8x64& x) {
  const __m512i v = (__m512i)x;
  const __m256i half = _mm256_min_epu8(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
  const __m128i quarter = _mm_min_epu8(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const __m128i pairs = _mm_min_epu8(quarter, _mm_srli_epi16(quarter, 8));  // in its even bytes
  return static_cast<uint8_t>(_mm_extract_epi16(_mm_minpos_epu16(pairs), 0));
}

// table[index], index < 128: low holds the entries 0..63, high 64..127.
BITVIT_INLINE u8x64 look_up_128(const u8x64& low, const u8x64& high, const u8x64& index) {
  return (u8x64)_mm512_permutex2var_epi8((__m512i)low, (__m512i)index, (__m512i)high);
}

// a ? p : q, bit by bit.
BITVIT_INLINE u8x64 select_bits(const u8x64& a, const u8x64& p, const u8x64& q) {
  return (u8x64)_mm512_ternarylogic_epi32((__m512i)a, (__m512i)p, (__m512i)q, 0xca);
}

// Bytes, or 16-bit numbers, of a and b in turn, from the low or high half of each 128 bits.
BITVIT_INLINE u8x64 interleave_low_8(const u8x64& a, const u8x64& b) {
  return (u8x64)_mm512_unpacklo_epi8((__m512i)a, (__m512i)b);
}
BITVIT_INLINE u8x64 interleave_high_8(const u8x64& a, const u8x64& b) {
  return (u8x64)_mm512_unpackhi_epi8((__m512i)a, (__m512i)b);
}
BITVIT_INLINE u8x64 interleave_low_16(const u8x64& a, const u8x64& b) {
  return (u8x64)_mm512_unpacklo_epi16((__m512i)a, (__m512i)b);
}
BITVIT_INLINE u8x64 interleave_high_16(const u8x64& a, const u8x64& b) {
  return (u8x64)_mm512_unpackhi_epi16((__m512i)a, (__m512i)b);
}

// The bytes of one half, widened: unsigned, signed.
template <size_t kHalf>
BITVIT_INLINE u16x32 widen_unsigned(const u8x64& x) {
  const __m512i v = (__m512i)x;
  return (u16x32)_mm512_cvtepu8_epi16(kHalf == 0 ? _mm512_castsi512_si256(v) : _mm512_extracti64x4_epi64(v, 1));
}
template <size_t kHalf>
BITVIT_INLINE u16x32 widen_signed(const u8x64& x) {
  const __m512i v = (__m512i)x;
  return (u16x32)_mm512_cvtepi8_epi16(kHalf == 0 ? _mm512_castsi512_si256(v) : _mm512_extracti64x4_epi64(v, 1));
}

// Writes the numbers first + i of the bits i of a word, then others; returns how many bits there are.
BITVIT_INLINE size_t store_positions(uint8_t* list, uint64_t word, const u8x64& first_to_last) {
  _mm512_storeu_si512(list, _mm512_maskz_compress_epi8(word, (__m512i)first_to_last));
  return static_cast<size_t>(__builtin_popcountll(word));
}

// In byte i: 1 where the bit is in p, -1 where it is in q, else 0.
BITVIT_INLINE u8x64 ternary_bytes(const u8x64& p, const u8x64& q, uint8_t bit) {
  const __m512i select = _mm512_set1_epi8(static_cast<char>(bit));
  const __m512i plus = _mm512_maskz_set1_epi8(_mm512_test_epi8_mask((__m512i)p, select), 1);
  return (u8x64)_mm512_mask_set1_epi8(plus, _mm512_test_epi8_mask((__m512i)q, select), -1);
}

// 64 rows of 8 bytes -> 8 registers, of the bytes of equal rank.
BITVIT_INLINE void transpose_words(const uint64_t* rows, uint8_t* out) {
  // The bytes of 8 rows by rank, then 8 x 8 words of 8 bytes are transposed.
  alignas(64) static constexpr uint8_t kOrder[64] = {0, 8,  16, 24, 32, 40, 48, 56, 1, 9,  17, 25, 33, 41, 49, 57,
                                                     2, 10, 18, 26, 34, 42, 50, 58, 3, 11, 19, 27, 35, 43, 51, 59,
                                                     4, 12, 20, 28, 36, 44, 52, 60, 5, 13, 21, 29, 37, 45, 53, 61,
                                                     6, 14, 22, 30, 38, 46, 54, 62, 7, 15, 23, 31, 39, 47, 55, 63};
  const __m512i order = _mm512_load_si512(kOrder);
  __m512i a[8], b[8];
  BITVIT_UNROLL
  for (int i = 0; i < 8; ++i) a[i] = _mm512_permutexvar_epi8(order, _mm512_loadu_si512(rows + 8 * i));
  BITVIT_UNROLL
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 1]);
  }
  BITVIT_UNROLL
  for (int odd = 0; odd < 2; ++odd) {
    const __m512i x0 = _mm512_shuffle_i64x2(b[odd], b[2 + odd], 0x88),
                  x1 = _mm512_shuffle_i64x2(b[odd], b[2 + odd], 0xdd);
    const __m512i y0 = _mm512_shuffle_i64x2(b[4 + odd], b[6 + odd], 0x88);
    const __m512i y1 = _mm512_shuffle_i64x2(b[4 + odd], b[6 + odd], 0xdd);
    _mm512_storeu_si512(out + odd * 64, _mm512_shuffle_i64x2(x0, y0, 0x88));
    _mm512_storeu_si512(out + (4 + odd) * 64, _mm512_shuffle_i64x2(x0, y0, 0xdd));
    _mm512_storeu_si512(out + (2 + odd) * 64, _mm512_shuffle_i64x2(x1, y1, 0x88));
    _mm512_storeu_si512(out + (6 + odd) * 64, _mm512_shuffle_i64x2(x1, y1, 0xdd));
  }
}

#else

template <typename F>
BITVIT_INLINE u8x64 for_each_byte(F f) {
  u8x64 r;
  for (int i = 0; i < 64; ++i) r[i] = static_cast<uint8_t>(f(i));
  return r;
}

BITVIT_INLINE u8x64 broadcast_byte(uint8_t x) { return u8x64{} + x; }

BITVIT_INLINE u8x64 popcount_bytes(const u8x64& x) {
  return for_each_byte([&](int i) { return __builtin_popcount(x[i]); });
}

BITVIT_INLINE u8x64 min_bytes(const u8x64& a, const u8x64& b) {
  return for_each_byte([&](int i) { return a[i] < b[i] ? a[i] : b[i]; });
}

BITVIT_INLINE uint8_t least_byte(const u8x64& x) {
  uint8_t least = x[0];
  for (int i = 1; i < 64; ++i) least = x[i] < least ? x[i] : least;
  return least;
}

BITVIT_INLINE u8x64 look_up_128(const u8x64& low, const u8x64& high, const u8x64& index) {
  return for_each_byte([&](int i) { return (index[i] & 64) != 0 ? high[index[i] & 63] : low[index[i] & 63]; });
}

BITVIT_INLINE u8x64 select_bits(const u8x64& a, const u8x64& p, const u8x64& q) { return (a & p) | (~a & q); }

// kWidth bytes of a and b in turn, from half kHalf of each 128 bits.
template <int kWidth, int kHalf>
BITVIT_INLINE u8x64 interleave(const u8x64& a, const u8x64& b) {
  return for_each_byte([&](int i) {
    const int source = i / 16 * 16 + 8 * kHalf + i % 16 / (2 * kWidth) * kWidth + i % kWidth;
    return i / kWidth % 2 == 0 ? a[source] : b[source];
  });
}
BITVIT_INLINE u8x64 interleave_low_8(const u8x64& a, const u8x64& b) { return interleave<1, 0>(a, b); }
BITVIT_INLINE u8x64 interleave_high_8(const u8x64& a, const u8x64& b) { return interleave<1, 1>(a, b); }
BITVIT_INLINE u8x64 interleave_low_16(const u8x64& a, const u8x64& b) { return interleave<2, 0>(a, b); }
BITVIT_INLINE u8x64 interleave_high_16(const u8x64& a, const u8x64& b) { return interleave<2, 1>(a, b); }

template <size_t kHalf>
BITVIT_INLINE u16x32 widen_unsigned(const u8x64& x) {
  u16x32 r;
  for (size_t i = 0; i < 32; ++i) r[i] = x[32 * kHalf + i];
  return r;
}
template <size_t kHalf>
BITVIT_INLINE u16x32 widen_signed(const u8x64& x) {
  u16x32 r;
  for (size_t i = 0; i < 32; ++i) r[i] = static_cast<uint16_t>(static_cast<int8_t>(x[32 * kHalf + i]));
  return r;
}

BITVIT_INLINE size_t store_positions(uint8_t* list, uint64_t word, const u8x64& first_to_last) {
  size_t n = 0;
  for (int i = 0; i < 64; ++i) {
    if (((word >> i) & 1) != 0) list[n++] = first_to_last[i];
  }
  for (size_t i = n; i < 64; ++i) list[i] = 0;
  return n;
}

BITVIT_INLINE u8x64 ternary_bytes(const u8x64& p, const u8x64& q, uint8_t bit) {
  return for_each_byte([&](int i) { return (q[i] & bit) != 0 ? -1 : (p[i] & bit) != 0 ? 1 : 0; });
}

BITVIT_INLINE void transpose_words(const uint64_t* rows, uint8_t* out) {
  for (size_t l = 0; l < 64; ++l) {
    for (size_t k = 0; k < 8; ++k) out[64 * k + l] = static_cast<uint8_t>(rows[l] >> (8 * k));
  }
}

#endif

}  // namespace bitvit::avx512

// The 512-bit operations of the AVX-512 kernels, on GCC/Clang vectors.
//
// With BITVIT_EMULATE_AVX512 (a development build, see cpp/README.md) the same kernels run without AVX-512: slow, but
// their results can be tested on any x86 machine.
#pragma once

#include "kernels/vector.h"

namespace bitvit::avx512 {

typedef int32_t i32x16 __attribute__((vector_size(64)));
typedef uint32_t u32x16 __attribute__((vector_size(64)));
typedef float wide_f32 __attribute__((vector_size(64)));

BITVIT_INLINE u32x16 load_wide(const void* p) {
  u32x16 r;
  __builtin_memcpy(&r, p, sizeof(r));
  return r;
}

BITVIT_INLINE void store_wide(void* p, const u32x16& x) { __builtin_memcpy(p, &x, sizeof(x)); }

BITVIT_INLINE u32x16 broadcast_wide(uint32_t x) { return u32x16{} + x; }

BITVIT_INLINE wide_f32 load_floats(const float* p) { return (wide_f32)load_wide(p); }

BITVIT_INLINE f32x16 to_lanes(const wide_f32& x) {
  f32x16 r;
  __builtin_memcpy(&r, &x, sizeof(r));
  return r;
}

#if !defined(BITVIT_EMULATE_AVX512)

BITVIT_INLINE u32x16 load_i16_wide(const int16_t* p) {
  return (u32x16)_mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

BITVIT_INLINE u32x16 load_u16_wide(const uint16_t* p) {
  return (u32x16)_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

// The low halves.
BITVIT_INLINE void store_u16_wide(uint16_t* p, const u32x16& x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16((__m512i)x));
}

BITVIT_INLINE u32x16 popcount_wide(const u32x16& x) { return (u32x16)_mm512_popcnt_epi32((__m512i)x); }

// a ? p : q, bit by bit.
BITVIT_INLINE u32x16 select_wide(const u32x16& a, const u32x16& p, const u32x16& q) {
  return (u32x16)_mm512_ternarylogic_epi32((__m512i)a, (__m512i)p, (__m512i)q, 0xca);
}

// a ? ~p : q
BITVIT_INLINE u32x16 select_inverted_wide(const u32x16& a, const u32x16& p, const u32x16& q) {
  return (u32x16)_mm512_ternarylogic_epi32((__m512i)a, (__m512i)p, (__m512i)q, 0x3a);
}

// n <= 16 words; the others are 0.
BITVIT_INLINE u32x16 load_first_wide(const void* p, size_t n) {
  return (u32x16)_mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << n) - 1), p);
}

// Lane i: x[0] ^ ... ^ x[i].
BITVIT_INLINE u32x16 prefix_xor_wide(const u32x16& x) {
  const __m512i zero = _mm512_setzero_si512();
  __m512i y = (__m512i)x;
  y = _mm512_xor_si512(y, _mm512_alignr_epi32(y, zero, 15));
  y = _mm512_xor_si512(y, _mm512_alignr_epi32(y, zero, 14));
  y = _mm512_xor_si512(y, _mm512_alignr_epi32(y, zero, 12));
  return (u32x16)_mm512_xor_si512(y, _mm512_alignr_epi32(y, zero, 8));
}

// Bit i: a[i] <= b[i].
BITVIT_INLINE uint32_t less_equal_wide(const u32x16& a, const u32x16& b) {
  return _mm512_cmple_epu32_mask((__m512i)a, (__m512i)b);
}

BITVIT_INLINE void store_first_wide(float* p, const wide_f32& x, uint32_t valid) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>(valid), (__m512)x);
}

// a - 2 b, exact where all are integers below 2^24.
BITVIT_INLINE wide_f32 subtract_twice(const wide_f32& a, const wide_f32& b) {
  return (wide_f32)_mm512_fnmadd_ps((__m512)b, _mm512_set1_ps(2.0f), (__m512)a);
}

// a b + c, rounded once; for the emulation, exact in binary64.
BITVIT_INLINE wide_f32 multiply_add(const wide_f32& a, const wide_f32& b, const wide_f32& c) {
  return (wide_f32)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

// sum + x[4i] w[4i] + ... + x[4i + 3] w[4i + 3] in lane i, unsigned times signed bytes.
BITVIT_INLINE u32x16 multiply_add_bytes(const u32x16& sum, const u32x16& x, const u32x16& w) {
  return (u32x16)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)w);
}

// Bit i: bit order[i] of the word.
BITVIT_INLINE uint64_t gather_bits(uint64_t word, const uint8_t* order) {
  return _mm512_bitshuffle_epi64_mask(_mm512_set1_epi64(static_cast<int64_t>(word)), _mm512_loadu_si512(order));
}

// The bits of the word where `mask` has a 1, one after the other.
BITVIT_INLINE uint64_t extract_bits(uint64_t word, uint64_t mask) { return _pext_u64(word, mask); }

// The following take 32 numbers of 16 bits.
BITVIT_INLINE u32x16 popcount_u16(const u32x16& x) { return (u32x16)_mm512_popcnt_epi16((__m512i)x); }
BITVIT_INLINE u32x16 add_u16(const u32x16& a, const u32x16& b) {
  return (u32x16)_mm512_add_epi16((__m512i)a, (__m512i)b);
}

// Number 2 kHalf of the four of a word sixteen times, then number 2 kHalf + 1.
template <int kHalf>
BITVIT_INLINE u32x16 spread_u16(uint64_t word) {
  alignas(64) static constexpr uint16_t kSource[32] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                                       1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const __m512i source = _mm512_add_epi16(_mm512_load_si512(kSource), _mm512_set1_epi16(2 * kHalf));
  return (u32x16)_mm512_permutexvar_epi16(source, _mm512_set1_epi64(static_cast<int64_t>(word)));
}

// Half of them, widened to 32 bits.
template <int kHalf>
BITVIT_INLINE u32x16 widen_u16(const u32x16& x) {
  const __m512i v = (__m512i)x;
  return (u32x16)_mm512_cvtepu16_epi32(kHalf == 0 ? _mm512_castsi512_si256(v) : _mm512_extracti64x4_epi64(v, 1));
}

#else

BITVIT_INLINE uint64_t gather_bits(uint64_t word, const uint8_t* order) {
  uint64_t r = 0;
  for (int i = 0; i < 64; ++i) r |= (word >> order[i] & 1) << i;
  return r;
}

BITVIT_INLINE uint64_t extract_bits(uint64_t word, uint64_t mask) {
  uint64_t r = 0;
  for (int n = 0; mask != 0; mask &= mask - 1, ++n) r |= (word >> __builtin_ctzll(mask) & 1) << n;
  return r;
}

typedef uint16_t narrow_u16 __attribute__((vector_size(64)));

BITVIT_INLINE u32x16 popcount_u16(const u32x16& x) {
  narrow_u16 r = (narrow_u16)x;
  for (int i = 0; i < 32; ++i) r[i] = static_cast<uint16_t>(__builtin_popcount(r[i]));
  return (u32x16)r;
}

BITVIT_INLINE u32x16 add_u16(const u32x16& a, const u32x16& b) { return (u32x16)((narrow_u16)a + (narrow_u16)b); }

template <int kHalf>
BITVIT_INLINE u32x16 spread_u16(uint64_t word) {
  narrow_u16 r = {};
  for (int i = 0; i < 32; ++i) r[i] = static_cast<uint16_t>(word >> (16 * (2 * kHalf + i / 16)));
  return (u32x16)r;
}

template <int kHalf>
BITVIT_INLINE u32x16 widen_u16(const u32x16& x) {
  u32x16 r = {};
  for (int i = 0; i < 16; ++i) r[i] = ((narrow_u16)x)[16 * kHalf + i];
  return r;
}

BITVIT_INLINE u32x16 load_i16_wide(const int16_t* p) {
  typedef int16_t i16x16 __attribute__((vector_size(32)));
  i16x16 r;
  __builtin_memcpy(&r, p, sizeof(r));
  return (u32x16) __builtin_convertvector(r, i32x16);
}

BITVIT_INLINE u32x16 load_u16_wide(const uint16_t* p) {
  typedef uint16_t u16x16 __attribute__((vector_size(32)));
  u16x16 r;
  __builtin_memcpy(&r, p, sizeof(r));
  return __builtin_convertvector(r, u32x16);
}

BITVIT_INLINE void store_u16_wide(uint16_t* p, const u32x16& x) {
  typedef uint16_t u16x16 __attribute__((vector_size(32)));
  const u16x16 r = __builtin_convertvector(x, u16x16);
  __builtin_memcpy(p, &r, sizeof(r));
}

BITVIT_INLINE u32x16 popcount_wide(const u32x16& x) {
  u32x16 r;
  for (int i = 0; i < 16; ++i) r[i] = static_cast<uint32_t>(__builtin_popcount(x[i]));
  return r;
}

BITVIT_INLINE u32x16 select_wide(const u32x16& a, const u32x16& p, const u32x16& q) { return (a & p) | (~a & q); }

BITVIT_INLINE u32x16 select_inverted_wide(const u32x16& a, const u32x16& p, const u32x16& q) {
  return (a & ~p) | (~a & q);
}

BITVIT_INLINE u32x16 load_first_wide(const void* p, size_t n) {
  u32x16 r = {};
  __builtin_memcpy(&r, p, 4 * n);
  return r;
}

BITVIT_INLINE u32x16 prefix_xor_wide(const u32x16& x) {
  u32x16 r = x;
  for (int i = 1; i < 16; ++i) r[i] ^= r[i - 1];
  return r;
}

BITVIT_INLINE uint32_t less_equal_wide(const u32x16& a, const u32x16& b) {
  uint32_t r = 0;
  for (int i = 0; i < 16; ++i) r |= static_cast<uint32_t>(a[i] <= b[i]) << i;
  return r;
}

BITVIT_INLINE void store_first_wide(float* p, const wide_f32& x, uint32_t valid) {
  for (int i = 0; i < 16; ++i) {
    if (((valid >> i) & 1) != 0) p[i] = x[i];
  }
}

BITVIT_INLINE wide_f32 subtract_twice(const wide_f32& a, const wide_f32& b) { return a - (b + b); }

BITVIT_INLINE wide_f32 multiply_add(const wide_f32& a, const wide_f32& b, const wide_f32& c) {
  wide_f32 r = c;
  for (int i = 0; i < 16; ++i) r[i] = static_cast<float>(static_cast<double>(a[i]) * b[i] + c[i]);
  return r;
}

BITVIT_INLINE u32x16 multiply_add_bytes(const u32x16& sum, const u32x16& x, const u32x16& w) {
  u32x16 r = sum;
  for (int i = 0; i < 16; ++i) {
    for (int b = 0; b < 32; b += 8) {
      const int32_t product = static_cast<uint8_t>(x[i] >> b) * static_cast<int8_t>(static_cast<uint8_t>(w[i] >> b));
      r[i] += static_cast<uint32_t>(product);
    }
  }
  return r;
}

#endif

}  // namespace bitvit::avx512

// f32x16: sixteen binary32 lanes, the unit in which docs/format.md fixes float results, over the native vectors of the
// file that includes this. Each operation is one IEEE operation per lane, so every instruction set computes the same
// bits.
//
// Kernel files are compiled with different instruction-set options. An inline function with external linkage would be
// merged by the linker into one copy, perhaps one that this CPU cannot run: so everything here, and in the .inl files,
// lives in a namespace named after the instruction set and is forced inline, and kernel files use no templates of the
// standard library.
//
// CMakeLists.txt defines BITVIT_ISA, the name of the instruction set (base/instruction_sets.inc). Without an option for
// wider vectors, native ones have four lanes: SSE2, NEON, SIMD128.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif

#define BITVIT_INLINE static inline __attribute__((always_inline))
#define BITVIT_UNROLL _Pragma("GCC unroll 16")

namespace bitvit::BITVIT_ISA {

#if defined(__AVX512F__)
inline constexpr int kNativeLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kNativeLanes = 8;
#else
inline constexpr int kNativeLanes = 4;
#endif
inline constexpr int kParts = 16 / kNativeLanes;

typedef float native_f32 __attribute__((vector_size(kNativeLanes * 4)));
typedef int32_t native_i32 __attribute__((vector_size(kNativeLanes * 4)));

struct f32x16 {
  native_f32 v[kParts];
};

BITVIT_INLINE f32x16 broadcast(float x) {
  f32x16 r;
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) r.v[i] = x - native_f32{};
  return r;
}

BITVIT_INLINE native_f32 load_native(const float* p) {
  native_f32 r;
  __builtin_memcpy(&r, p, sizeof(r));
  return r;
}

// A struct is never copied as a block of memory, only part by part: GCC then keeps the parts in registers.
BITVIT_INLINE f32x16 load(const float* p) {
  f32x16 r;
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) r.v[i] = load_native(p + i * kNativeLanes);
  return r;
}

BITVIT_INLINE void store(float* p, const f32x16& x) {
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) {
    const native_f32 part = x.v[i];
    __builtin_memcpy(p + i * kNativeLanes, &part, sizeof(part));
  }
}

// n < 16 lanes; the others are +0.0.
BITVIT_INLINE f32x16 load_first(const float* p, size_t n) {
#if defined(__AVX512F__)
  return {{(native_f32)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p)}};
#else
  alignas(64) float lanes[16] = {};
  for (size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return load(lanes);
#endif
}

BITVIT_INLINE void store_first(float* p, const f32x16& x, size_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), (__m512)x.v[0]);
#else
  alignas(64) float lanes[16];
  store(lanes, x);
  for (size_t i = 0; i < n; ++i) p[i] = lanes[i];
#endif
}

// Lane i in all lanes.
BITVIT_INLINE f32x16 broadcast_lane(const f32x16& x, int i) {
#if defined(__AVX512F__)
  return {{(native_f32)_mm512_permutexvar_ps(_mm512_set1_epi32(i), (__m512)x.v[0])}};
#else
  return broadcast(x.v[i / kNativeLanes][i % kNativeLanes]);
#endif
}

// Lanes kFirst, kFirst + 2, ... of the 32 lanes of a and b.
template <int kFirst>
BITVIT_INLINE f32x16 every_second_lane(const f32x16& a, const f32x16& b) {
#if defined(__AVX512F__)
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i order = _mm512_add_epi32(even, _mm512_set1_epi32(kFirst));
  return {{(native_f32)_mm512_permutex2var_ps((__m512)a.v[0], order, (__m512)b.v[0])}};
#else
  f32x16 r;
  for (int i = 0; i < 16; ++i) {
    const int from = i % 8 * 2 + kFirst;
    r.v[i / kNativeLanes][i % kNativeLanes] = (i < 8 ? a : b).v[from / kNativeLanes][from % kNativeLanes];
  }
  return r;
#endif
}
BITVIT_INLINE f32x16 even_lanes(const f32x16& a, const f32x16& b) { return every_second_lane<0>(a, b); }
BITVIT_INLINE f32x16 odd_lanes(const f32x16& a, const f32x16& b) { return every_second_lane<1>(a, b); }

// The first n lanes of x (1 <= n <= 16), the others of y.
BITVIT_INLINE f32x16 first_lanes(const f32x16& x, const f32x16& y, size_t n) {
  alignas(64) static constexpr int32_t kOnes[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  f32x16 r;
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) {
    native_i32 is_first;
    __builtin_memcpy(&is_first, kOnes + 16 - n + static_cast<size_t>(i * kNativeLanes), sizeof(is_first));
    r.v[i] = is_first < native_i32{} ? x.v[i] : y.v[i];
  }
  return r;
}

#define BITVIT_BINARY(OP)                                              \
  BITVIT_INLINE f32x16 operator OP(const f32x16& a, const f32x16& b) { \
    f32x16 r;                                                          \
    BITVIT_UNROLL                                                      \
    for (int i = 0; i < kParts; ++i) r.v[i] = a.v[i] OP b.v[i];        \
    return r;                                                          \
  }
BITVIT_BINARY(+)
BITVIT_BINARY(-)
BITVIT_BINARY(*)
BITVIT_BINARY(/)
#undef BITVIT_BINARY

BITVIT_INLINE f32x16 max(const f32x16& a, const f32x16& b) {
  f32x16 r;
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) r.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return r;
}

BITVIT_INLINE f32x16 min(const f32x16& a, const f32x16& b) {
  f32x16 r;
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) r.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
  return r;
}

BITVIT_INLINE f32x16 abs(const f32x16& a) {
  f32x16 r;
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) r.v[i] = (native_f32)((native_i32)a.v[i] & 0x7fffffff);
  return r;
}

// a < 0 ? b : c
BITVIT_INLINE f32x16 select_negative(const f32x16& a, const f32x16& b, const f32x16& c) {
  f32x16 r;
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) r.v[i] = a.v[i] < native_f32{} ? b.v[i] : c.v[i];
  return r;
}

#if !defined(__AVX512F__)
BITVIT_INLINE uint32_t lane_bits(const native_i32& all_ones_or_zero) {
#if defined(__AVX2__)
  return static_cast<uint32_t>(_mm256_movemask_ps((__m256)all_ones_or_zero));
#elif defined(__x86_64__)
  return static_cast<uint32_t>(_mm_movemask_ps((__m128)all_ones_or_zero));
#elif defined(__aarch64__)
  const native_i32 weights = {1, 2, 4, 8};
  return vaddvq_u32((uint32x4_t)(all_ones_or_zero & weights));
#elif defined(__wasm_simd128__)
  return static_cast<uint32_t>(wasm_i32x4_bitmask((v128_t)all_ones_or_zero));
#else
  const native_i32 weights = {1, 2, 4, 8};
  const native_i32 bits = all_ones_or_zero & weights;
  return static_cast<uint32_t>(bits[0] | bits[1] | bits[2] | bits[3]);
#endif
}
#endif

// Bit i: a[i] < b[i].
BITVIT_INLINE uint32_t less_bits(const f32x16& a, const f32x16& b) {
#if defined(__AVX512F__)
  return _mm512_cmp_ps_mask((__m512)a.v[0], (__m512)b.v[0], _CMP_LT_OS);
#else
  uint32_t r = 0;
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) r |= lane_bits((native_i32)(a.v[i] < b.v[i])) << (i * kNativeLanes);
  return r;
#endif
}

// kNativeLanes integers widened to 32 bits. GCC 12 makes many instructions of a converting vector expression.
template <typename T>
BITVIT_INLINE native_i32 load_widened(const T* p) {
  typedef T source __attribute__((vector_size(kNativeLanes * sizeof(T))));
  source s;
  __builtin_memcpy(&s, p, sizeof(s));
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 1) {
    return (native_i32)(T(-1) < T(0) ? _mm512_cvtepi8_epi32((__m128i)s) : _mm512_cvtepu8_epi32((__m128i)s));
  } else if constexpr (sizeof(T) == 2) {
    return (native_i32)(T(-1) < T(0) ? _mm512_cvtepi16_epi32((__m256i)s) : _mm512_cvtepu16_epi32((__m256i)s));
  } else {
    return (native_i32)s;
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 1) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return (native_i32)(T(-1) < T(0) ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes));
  } else if constexpr (sizeof(T) == 2) {
    return (native_i32)(T(-1) < T(0) ? _mm256_cvtepi16_epi32((__m128i)s) : _mm256_cvtepu16_epi32((__m128i)s));
  } else {
    return (native_i32)s;
  }
#else
  return __builtin_convertvector(s, native_i32);
#endif
}

// Sixteen integers, converted exactly (32-bit ones are rounded to nearest even).
template <typename T>
BITVIT_INLINE f32x16 load_converted(const T* p) {
  f32x16 r;
  BITVIT_UNROLL
  for (int i = 0; i < kParts; ++i) r.v[i] = __builtin_convertvector(load_widened(p + i * kNativeLanes), native_f32);
  return r;
}

#if defined(__AVX2__)
// Lanes i and i + 8 combined, then i and i + 4, i and i + 2, 0 and 1.
template <typename Combine>
BITVIT_INLINE float fold(const f32x16& x, Combine combine) {
  __m256 half[2];
  __builtin_memcpy(half, &x, sizeof(half));
  const __m256 eight = combine(half[0], half[1]);
  const __m128 four = combine(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = combine(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(combine(two, _mm_movehdup_ps(two)));
}

// The halving that ends sum16: lanes i and i + 8, i and i + 4, i and i + 2, 0 and 1.
BITVIT_INLINE float halve(const f32x16& x) {
  return fold(x, [](auto a, auto b) __attribute__((always_inline)) { return a + b; });
}

BITVIT_INLINE float max_lane(const f32x16& x) {
  return fold(x, [](auto a, auto b) __attribute__((always_inline)) { return a > b ? a : b; });
}

BITVIT_INLINE float min_lane(const f32x16& x) {
  return fold(x, [](auto a, auto b) __attribute__((always_inline)) { return a < b ? a : b; });
}
#else
// The halving that ends sum16: lanes i and i + 8, i and i + 4, i and i + 2, 0 and 1.
BITVIT_INLINE float halve(const f32x16& x) {
  alignas(64) float a[16];
  store(a, x);
  float b[8], c[4];
  BITVIT_UNROLL
  for (int i = 0; i < 8; ++i) b[i] = a[i] + a[i + 8];
  BITVIT_UNROLL
  for (int i = 0; i < 4; ++i) c[i] = b[i] + b[i + 4];
  return (c[0] + c[2]) + (c[1] + c[3]);
}

BITVIT_INLINE float max_lane(const f32x16& x) {
  alignas(64) float a[16];
  store(a, x);
  float m = a[0];
  for (int i = 1; i < 16; ++i) m = a[i] > m ? a[i] : m;
  return m;
}

BITVIT_INLINE float min_lane(const f32x16& x) {
  alignas(64) float a[16];
  store(a, x);
  float m = a[0];
  for (int i = 1; i < 16; ++i) m = a[i] < m ? a[i] : m;
  return m;
}
#endif

// sum16(f(x[0..n))): `get(i)` gives lanes i.. and `get_first(i, count)` the last, zero-padded ones.
template <typename Get, typename GetFirst>
BITVIT_INLINE float sum16(size_t n, Get get, GetFirst get_first) {
  const size_t whole = n & ~static_cast<size_t>(15);
  if (whole == 0) return halve(get_first(0, n));
  f32x16 acc = get(0);
  for (size_t i = 16; i < whole; i += 16) acc = acc + get(i);
  if (whole < n) acc = acc + get_first(whole, n - whole);
  return halve(acc);
}

BITVIT_INLINE float sum16_of(const float* x, size_t n) {
  return sum16(
      n, [=](size_t i) __attribute__((always_inline)) { return load(x + i); },
      [=](size_t i, size_t count) __attribute__((always_inline)) { return load_first(x + i, count); });
}

}  // namespace bitvit::BITVIT_ISA

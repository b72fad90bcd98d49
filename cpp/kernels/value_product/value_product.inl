// The planes of value_product.h, once for every instruction set (kernels/vector.h), and the list of kernels. The
// including file has defined packed_bytes, pack, scratch_bytes and product.
#include "kernels/value_product/value_product.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

void extremes(const float* v, float offset, size_t n, float* largest, float* smallest) {
  const f32x16 o = broadcast(offset);
  f32x16 high = broadcast(v[0]) - o, low = high;
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const f32x16 x = load(v + i) - o;
    high = max(x, high);
    low = min(x, low);
  }
  *largest = max_lane(high);
  *smallest = min_lane(low);
  for (; i < n; ++i) {
    const float x = v[i] - offset;
    if (x > *largest) *largest = x;
    if (x < *smallest) *smallest = x;
  }
}

typedef uint32_t native_u32 __attribute__((vector_size(kNativeLanes * 4)));

// words | (a < b ? bit : 0)
BITVIT_INLINE native_u32 or_where_less(const native_u32& words, const native_f32& a, const native_f32& b,
                                       const native_u32& bit) {
#if defined(__AVX512F__)
  const __mmask16 is_less = _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OS);
  return (native_u32)_mm512_mask_or_epi32((__m512i)words, is_less, (__m512i)words, (__m512i)bit);
#else
  return words | ((native_u32)(a < b) & bit);
#endif
}

constexpr size_t kMostLimits = 2;  // at a time

// Planes of kNativeLanes channels: that of the sign if kHasSign, then those of kLimits limits.
template <bool kHasSign, size_t kLimits>
struct PlaneWords {
  static constexpr size_t kPlanes = kLimits + (kHasSign ? 1 : 0);
  native_u32 plus[kPlanes], minus[kPlanes];  // a bit a key

  // Up to 32 keys. kIsOrdered: all low <= 0 <= high, so that what is above high is positive, what is below low
  // negative.
  // A function of its own, or GCC runs out of registers.
  template <bool kIsOrdered>
  static __attribute__((noinline)) void fill(PlaneWords& words, const float* v, size_t stride, size_t n_keys,
                                             float offset, const float* high, const float* low) {
    native_u32 plus[kPlanes] = {}, minus[kPlanes] = {};  // not those of `words`: GCC would not keep these in registers
    native_f32 highs[kMostLimits] = {}, lows[kMostLimits] = {};
    BITVIT_UNROLL
    for (size_t i = 0; i < kLimits; ++i) {
      highs[i] = high[i] - native_f32{};
      lows[i] = low[i] - native_f32{};
    }
    native_u32 bit = native_u32{} + 1;
    for (size_t m = 0; m < n_keys; ++m, v += stride, bit += bit) {
      native_f32 x;
      __builtin_memcpy(&x, v, sizeof(x));
      x = x - offset;
      if constexpr (kHasSign) minus[0] = or_where_less(minus[0], x, native_f32{}, bit);
      BITVIT_UNROLL
      for (size_t i = 0; i < kLimits; ++i) {
        constexpr size_t kFirst = kPlanes - kLimits;
        if constexpr (kIsOrdered) {
          plus[kFirst + i] = or_where_less(plus[kFirst + i], highs[i], x, bit);
          minus[kFirst + i] = or_where_less(minus[kFirst + i], x, lows[i], bit);
        } else {
          const native_u32 is_negative = (native_u32)(x < native_f32{});
          const native_u32 is_set = ((native_u32)(x > highs[i]) | (native_u32)(x < lows[i])) & bit;
          minus[kFirst + i] |= is_set & is_negative;
          plus[kFirst + i] |= is_set & ~is_negative;
        }
      }
    }
    if constexpr (kHasSign) {
      const uint32_t all = n_keys == 32 ? ~0u : (1u << n_keys) - 1;
      plus[0] = ~minus[0] & all;
    }
    BITVIT_UNROLL
    for (size_t j = 0; j < kPlanes; ++j) {
      words.plus[j] = plus[j];
      words.minus[j] = minus[j];
    }
  }
};

struct PlaneSource {
  const float* v;
  float offset;
  size_t n_keys, n_channels;
  uint64_t* out;    // plane 0, positive
  size_t n_planes;  // from `out` to its negative counterpart
};

BITVIT_INLINE void write_words(const native_u32& low_half, const native_u32& high_half, uint64_t* out, size_t n_words,
                               size_t n_channels) {
  uint32_t low[kNativeLanes], high[kNativeLanes];
  __builtin_memcpy(low, &low_half, sizeof(low));
  __builtin_memcpy(high, &high_half, sizeof(high));
  for (size_t i = 0; i < n_channels; ++i) out[i * n_words] = low[i] | static_cast<uint64_t>(high[i]) << 32;
}

// The channels begin..end-1 of planes first, first + 1, ...
template <bool kHasSign, size_t kLimits, bool kIsOrdered>
void write_planes(const PlaneSource& s, const float* high, const float* low, size_t first, size_t begin, size_t end) {
  using Words = PlaneWords<kHasSign, kLimits>;
  const size_t n_words = (s.n_keys + 63) / 64, plane = s.n_channels * n_words, negative = s.n_planes * plane;
  for (size_t m = 0; m < s.n_keys; m += 64) {
    for (size_t c = begin; c < end; c += kNativeLanes) {
      const size_t n = end - c < kNativeLanes ? end - c : kNativeLanes;
      Words halves[2];
      for (size_t half = 0; half < 2; ++half) {
        const size_t key = m + 32 * half, left = s.n_keys > key ? s.n_keys - key : 0, count = left < 32 ? left : 32;
        const float* source = s.v + key * s.n_channels + c;
        size_t stride = s.n_channels;
        // The last channels, where they are fewer, go through a padded copy.
        alignas(64) float copy[32 * kNativeLanes];
        if (n < kNativeLanes) {
          for (size_t r = 0; r < count; ++r) {
            for (size_t i = 0; i < kNativeLanes; ++i) {
              copy[r * kNativeLanes + i] = i < n ? source[r * s.n_channels + i] : 0;
            }
          }
          source = copy;
          stride = kNativeLanes;
        }
        Words::template fill<kIsOrdered>(halves[half], source, stride, count, s.offset, high, low);
      }
      for (size_t j = 0; j < Words::kPlanes; ++j) {
        uint64_t* const out = s.out + (first + j) * plane + c * n_words + m / 64;
        write_words(halves[0].plus[j], halves[1].plus[j], out, n_words, n);
        write_words(halves[0].minus[j], halves[1].minus[j], out + negative, n_words, n);
      }
    }
  }
}

template <bool kHasSign, size_t kLimits>
BITVIT_INLINE void write_planes_of(const PlaneSource& s, const float* high, const float* low, size_t first,
                                   size_t begin, size_t end) {
  bool is_ordered = true;
  for (size_t i = 0; i < kLimits; ++i) is_ordered = is_ordered && high[i] >= 0 && low[i] <= 0;
  (is_ordered ? write_planes<kHasSign, kLimits, true> : write_planes<kHasSign, kLimits, false>)(s, high, low, first,
                                                                                                begin, end);
}

void planes(const float* v, float offset, const float* high, const float* low, size_t n_planes, size_t n_keys,
            size_t n_channels, size_t begin, size_t end, uint64_t* out) {
  const PlaneSource s = {v, offset, n_keys, n_channels, out, n_planes};
  const size_t n_limits = n_planes - 1, n_first = n_limits < kMostLimits ? n_limits : kMostLimits;
  (n_first == 0   ? write_planes_of<true, 0>
   : n_first == 1 ? write_planes_of<true, 1>
                  : write_planes_of<true, 2>)(s, high, low, 0, begin, end);
  for (size_t i = n_first; i < n_limits; i += kMostLimits) {
    (n_limits - i == 1 ? write_planes_of<false, 1> : write_planes_of<false, 2>)(s, high + i, low + i, 1 + i, begin,
                                                                                end);
  }
}

}  // namespace

const ValueProductKernels& value_product_kernels() {
  static constexpr ValueProductKernels kKernels = {packed_bytes, pack, scratch_bytes, product, extremes, planes};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

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

// One 32-bit word a channel, for up to 32 keys and kNativeLanes channels: bit m is v0[m] < or > a limit.
BITVIT_INLINE void plane_words(const float* v, size_t n_channels, size_t n_keys, float offset, float high, float low,
                               bool is_sign_plane, native_u32* positive, native_u32* negative) {
  native_u32 plus = {}, minus = {};
  for (size_t m = 0; m < n_keys; ++m, v += n_channels) {
    native_f32 x;
    __builtin_memcpy(&x, v, sizeof(x));
    x = x - offset;
    const native_u32 bit = native_u32{} + (1u << m);
    const native_u32 is_negative = (native_u32)(x < native_f32{});
    native_u32 is_set = ~native_u32{};
    if (!is_sign_plane) is_set = (native_u32)(x > high) | (native_u32)(x < low);
    minus |= is_set & is_negative & bit;
    plus |= is_set & ~is_negative & bit;
  }
  *positive = plus;
  *negative = minus;
}

void planes(const float* v, float offset, const float* high, const float* low, size_t n_planes, size_t n_keys,
            size_t n_channels, size_t begin, size_t end, uint64_t* out) {
  const size_t n_words = (n_keys + 63) / 64;
  const size_t negative = n_planes * n_channels * n_words;
  for (size_t j = 0; j < n_planes; ++j) {
    for (size_t c = begin; c < end; c += kNativeLanes) {
      // The last channels are done with those before them where there are any, else one by one through a padded copy.
      const size_t n = end - c < kNativeLanes ? end - c : kNativeLanes;
      for (size_t m = 0; m < n_keys; m += 32) {
        const size_t count = n_keys - m < 32 ? n_keys - m : 32;
        const float* source = v + m * n_channels + c;
        size_t stride = n_channels;
        alignas(64) float copy[32 * kNativeLanes];
        if (n < kNativeLanes) {
          for (size_t r = 0; r < count; ++r) {
            for (size_t i = 0; i < kNativeLanes; ++i)
              copy[r * kNativeLanes + i] = i < n ? source[r * n_channels + i] : 0;
          }
          source = copy;
          stride = kNativeLanes;
        }
        native_u32 words[2];
        plane_words(source, stride, count, offset, j == 0 ? 0 : high[j - 1], j == 0 ? 0 : low[j - 1], j == 0, &words[0],
                    &words[1]);
        for (size_t side = 0; side < 2; ++side) {
          for (size_t i = 0; i < n; ++i) {
            uint64_t* const word = out + side * negative + (j * n_channels + c + i) * n_words + m / 64;
            const uint64_t half = words[side][i];
            *word = m % 64 == 0 ? half : *word | half << 32;
          }
        }
      }
    }
  }
}

}  // namespace

const ValueProductKernels& value_product_kernels() {
  static constexpr ValueProductKernels kKernels = {packed_bytes, pack, scratch_bytes, product, extremes, planes};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

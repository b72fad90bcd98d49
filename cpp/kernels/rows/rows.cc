// The kernels of rows.h, once for every instruction set (kernels/vector.h).
#include "kernels/rows/rows.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

#define BITVIT_LAMBDA __attribute__((always_inline))

BITVIT_INLINE size_t whole_lanes(size_t n) { return n & ~static_cast<size_t>(15); }

// Calls f(index, count, load): `load(p)` reads the lanes index.. of an array, zero-padded where fewer than 16 remain.
template <typename Whole, typename Last>
BITVIT_INLINE void for_lanes(size_t n, Whole whole, Last last) {
  const size_t end = whole_lanes(n);
  for (size_t i = 0; i < end; i += 16) whole(i);
  if (end < n) last(end, n - end);
}

// y[i] = f(load) for all lanes of a row; `f` gets a loader for arrays of the row's width.
template <typename F>
BITVIT_INLINE void map_row(float* y, size_t n, F f) {
  for_lanes(
      n, [&](size_t i) BITVIT_LAMBDA { store(y + i, f([i](const float* p) BITVIT_LAMBDA { return load(p + i); })); },
      [&](size_t i, size_t count) BITVIT_LAMBDA {
        store_first(y + i, f([i, count](const float* p) BITVIT_LAMBDA { return load_first(p + i, count); }), count);
      });
}

// bits = f(load): 16 bits at a time; `f` gets a loader as above.
template <typename F>
BITVIT_INLINE void map_bits(uint64_t* bits, size_t n, F f) {
  uint64_t word = 0;
  const size_t end = whole_lanes(n);
  for (size_t i = 0; i < end; i += 16) {
    word |= static_cast<uint64_t>(f([i](const float* p) BITVIT_LAMBDA { return load(p + i); })) << (i & 63);
    if ((i & 63) == 48) {
      bits[i / 64] = word;
      word = 0;
    }
  }
  if (end < n) {
    const size_t count = n - end;
    const uint32_t lanes = f([=](const float* p) BITVIT_LAMBDA { return load_first(p + end, count); });
    word |= static_cast<uint64_t>(lanes & ((1u << count) - 1)) << (end & 63);
  }
  if ((n & 63) != 0) bits[n / 64] = word;
}

void add(const float* a, const float* b, float* y, size_t n) {
  map_row(y, n, [=](auto get) BITVIT_LAMBDA { return get(a) + get(b); });
}

void add_row(const float* x, const float* value, float* y, size_t n_rows, size_t width) {
  for (size_t r = 0; r < n_rows; ++r, x += width, y += width) {
    map_row(y, width, [=](auto get) BITVIT_LAMBDA { return get(x) + get(value); });
  }
}

void affine(const float* x, const float* scale, const float* bias, float* y, size_t n_rows, size_t width) {
  for (size_t r = 0; r < n_rows; ++r, x += width, y += width) {
    map_row(y, width, [=](auto get) BITVIT_LAMBDA { return get(x) * get(scale) + get(bias); });
  }
}

void affine_u8(const uint8_t* x, const float* scale, const float* bias, float* y, size_t n_rows, size_t width) {
  const size_t end = whole_lanes(width);
  for (size_t r = 0; r < n_rows; ++r, x += width, y += width) {
    for (size_t i = 0; i < end; i += 16) store(y + i, load_converted(x + i) * load(scale + i) + load(bias + i));
    for (size_t i = end; i < width; ++i) {
      const float product = static_cast<float>(x[i]) * scale[i];
      y[i] = product + bias[i];
    }
  }
}

void scale(const float* x, float factor, float* y, size_t n) {
  const f32x16 f = broadcast(factor);
  map_row(y, n, [=](auto get) BITVIT_LAMBDA { return get(x) * f; });
}

void divide(const float* x, float divisor, float* y, size_t n) {
  const f32x16 d = broadcast(divisor);
  map_row(y, n, [=](auto get) BITVIT_LAMBDA { return get(x) / d; });
}

void larger(const float* a, const float* b, float* y, size_t n) {
  map_row(y, n, [=](auto get) BITVIT_LAMBDA { return max(get(b), get(a)); });
}

// bitvit.program.gelu: x * phi(x), the tail of phi as 0.5 / p(abs(x))^16.
BITVIT_INLINE f32x16 gelu_lanes(const f32x16& x) {
  constexpr float kCoefficients[7] = {0x1p0f,          0x1.987caep-5f,  0x1.5aa422p-6f, 0x1.a9e4f0p-9f,
                                      0x1.f4f3eap-15f, 0x1.5b26c8p-15f, 0x1.a90044p-18f};
  const f32x16 z = abs(x);
  f32x16 y = broadcast(kCoefficients[6]);
  BITVIT_UNROLL
  for (int i = 5; i >= 0; --i) y = y * z + broadcast(kCoefficients[i]);
  BITVIT_UNROLL
  for (int i = 0; i < 4; ++i) y = y * y;
  const f32x16 tail = broadcast(0.5f) / y;
  return x * select_negative(x, tail, broadcast(1.0f) - tail);
}

void gelu(const float* x, float* y, size_t n) {
  map_row(y, n, [=](auto get) BITVIT_LAMBDA { return gelu_lanes(get(x)); });
}

void rprelu(const float* x, const float* before, const float* slope, const float* after, float* y, size_t n_rows,
            size_t width) {
  for (size_t r = 0; r < n_rows; ++r, x += width, y += width) {
    map_row(y, width, [=](auto get) BITVIT_LAMBDA {
      const f32x16 t = get(x) - get(before);
      return select_negative(t, get(slope) * t, t) + get(after);
    });
  }
}

void mean_rows(const float* x, float* y, size_t n_rows, size_t width, size_t begin, size_t end) {
  const float count = static_cast<float>(n_rows);
  map_row(y + begin, end - begin, [=](auto get) BITVIT_LAMBDA {
    f32x16 sum = get(x + begin);
    for (size_t r = 1; r < n_rows; ++r) sum = sum + get(x + begin + r * width);
    return sum / broadcast(count);
  });
}

struct Moments {
  float mean, deviation;  // m and s of docs/format.md
};

BITVIT_INLINE Moments moments(const float* x, size_t width, float eps) {
  const float count = static_cast<float>(width);
  const float m = sum16_of(x, width) / count;
  const f32x16 mean = broadcast(m);
  const float variance = sum16(
                             width,
                             [=](size_t i) BITVIT_LAMBDA {
                               const f32x16 d = load(x + i) - mean;
                               return d * d;
                             },
                             [=](size_t i, size_t n) BITVIT_LAMBDA {
                               alignas(64) float d[16] = {};
                               for (size_t l = 0; l < n; ++l) d[l] = x[i + l] - m;
                               return load(d) * load(d);
                             }) /
                         count;
  return {m, __builtin_sqrtf(variance + eps)};
}

// moments() of kRows rows whose width is a multiple of 16: their additions run side by side instead of each waiting for
// the one before.
template <size_t kRows>
BITVIT_INLINE void moments_of_rows(const float* x, size_t width, float eps, Moments* result) {
  const float count = static_cast<float>(width);
  f32x16 sums[kRows], means[kRows];
  BITVIT_UNROLL
  for (size_t r = 0; r < kRows; ++r) sums[r] = load(x + r * width);
  for (size_t i = 16; i < width; i += 16) {
    BITVIT_UNROLL
    for (size_t r = 0; r < kRows; ++r) sums[r] = sums[r] + load(x + r * width + i);
  }
  BITVIT_UNROLL
  for (size_t r = 0; r < kRows; ++r) {
    result[r].mean = halve(sums[r]) / count;
    means[r] = broadcast(result[r].mean);
    const f32x16 d = load(x + r * width) - means[r];
    sums[r] = d * d;
  }
  for (size_t i = 16; i < width; i += 16) {
    BITVIT_UNROLL
    for (size_t r = 0; r < kRows; ++r) {
      const f32x16 d = load(x + r * width + i) - means[r];
      sums[r] = sums[r] + d * d;
    }
  }
  BITVIT_UNROLL
  for (size_t r = 0; r < kRows; ++r) result[r].deviation = __builtin_sqrtf(halve(sums[r]) / count + eps);
}

// Calls use(r, moments of row r) for all rows.
template <typename Use>
BITVIT_INLINE void with_moments(const float* x, size_t width, float eps, size_t n_rows, Use use) {
  constexpr size_t kRows = 4;
  size_t r = 0;
  if (width % 16 == 0) {
    for (; r + kRows <= n_rows; r += kRows) {
      Moments of_rows[kRows];
      moments_of_rows<kRows>(x + r * width, width, eps, of_rows);
      for (size_t i = 0; i < kRows; ++i) use(r + i, of_rows[i]);
    }
  }
  for (; r < n_rows; ++r) use(r, moments(x + r * width, width, eps));
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* y, size_t n_rows,
                size_t width) {
  with_moments(x, width, eps, n_rows, [=](size_t r, const Moments& of_row) BITVIT_LAMBDA {
    const f32x16 m = broadcast(of_row.mean), s = broadcast(of_row.deviation);
    const float* const row = x + r * width;
    map_row(y + r * width, width, [=](auto get) BITVIT_LAMBDA { return (get(row) - m) / s * get(weight) + get(bias); });
  });
}

void layer_norm_sign(const float* x, const float* weight, const float* threshold, float eps, uint64_t* bits,
                     size_t n_rows, size_t width) {
  with_moments(x, width, eps, n_rows, [=](size_t r, const Moments& of_row) BITVIT_LAMBDA {
    const f32x16 m = broadcast(of_row.mean), s = broadcast(of_row.deviation);
    const float* const row = x + r * width;
    map_bits(bits + r * ((width + 63) / 64), width,
             [=](auto get) BITVIT_LAMBDA { return less_bits((get(row) - m) * get(weight), get(threshold) * s); });
  });
}

void less(const float* x, const float* threshold, uint64_t* bits, size_t n_rows, size_t width) {
  for (size_t r = 0; r < n_rows; ++r, x += width, bits += (width + 63) / 64) {
    map_bits(bits, width, [=](auto get) BITVIT_LAMBDA { return less_bits(get(x), get(threshold)); });
  }
}

void greater(const float* x, const float* threshold, uint64_t* bits, size_t n_rows, size_t width) {
  for (size_t r = 0; r < n_rows; ++r, x += width, bits += (width + 63) / 64) {
    map_bits(bits, width, [=](auto get) BITVIT_LAMBDA { return less_bits(get(threshold), get(x)); });
  }
}

void less_scalar(const float* x, float threshold, uint64_t* bits, size_t n_rows, size_t width) {
  const f32x16 t = broadcast(threshold);
  for (size_t r = 0; r < n_rows; ++r, x += width, bits += (width + 63) / 64) {
    map_bits(bits, width, [=](auto get) BITVIT_LAMBDA { return less_bits(get(x), t); });
  }
}

void greater_shifted(const float* x, float offset, float threshold, uint64_t* bits, size_t n_rows, size_t width) {
  const f32x16 o = broadcast(offset), t = broadcast(threshold);
  for (size_t r = 0; r < n_rows; ++r, x += width, bits += (width + 63) / 64) {
    map_bits(bits, width, [=](auto get) BITVIT_LAMBDA { return less_bits(t, get(x) - o); });
  }
}

void quantize(const float* x, const float* shift, float step, uint8_t* levels, size_t width) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds small numbers to integers, half to even
  for (size_t i = 0; i < width; ++i) {
    float v = (x[i] + shift[i]) / step;
    v = v > -128.0f ? v : -128.0f;  // also where v is NaN
    v = v < 127.0f ? v : 127.0f;
    const float rounded = (v + kRound) - kRound;
    levels[i] = static_cast<uint8_t>(static_cast<int32_t>(rounded) + 128);
  }
}

void scaled_i32(const int32_t* acc, const int32_t* offset, const float* scale, const float* base, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    const float product = scale[i] * static_cast<float>(acc[i] - offset[i]);
    y[i] = base[i] + product;
  }
}

typedef uint8_t u8x16 __attribute__((vector_size(16)));

// One channel of 16 pixels of three.
template <int kChannel>
BITVIT_INLINE void pick_channel(const u8x16 (&x)[3], uint8_t* y) {
  constexpr int c = kChannel;
  // Of the first two vectors, whose last pixels lack a channel or two; then of the third.
  const u8x16 first = __builtin_shufflevector(x[0], x[1], c, c + 3, c + 6, c + 9, c + 12, c + 15, c + 18, c + 21,
                                              c + 24, c + 27, (c + 30) % 32, 0, 0, 0, 0, 0);
  constexpr int n = c < 2 ? 11 : 10;  // pixels of these
  constexpr auto at = [](int i) { return i < n ? i : 16 + c + 3 * i - 32; };
  const u8x16 all = __builtin_shufflevector(first, x[2], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, at(10), at(11), at(12), at(13),
                                            at(14), at(15));
  __builtin_memcpy(y, &all, sizeof(all));
}

void split_channels(const uint8_t* x, size_t n, size_t n_channels, uint8_t* y, size_t y_stride) {
  size_t i = 0;
  for (; n_channels == 3 && i + 16 <= n; i += 16) {
    u8x16 pixels[3];
    __builtin_memcpy(pixels, x + 3 * i, sizeof(pixels));
    pick_channel<0>(pixels, y + i);
    pick_channel<1>(pixels, y + y_stride + i);
    pick_channel<2>(pixels, y + 2 * y_stride + i);
  }
  for (size_t c = 0; c < n_channels; ++c) {
    for (size_t p = i; p < n; ++p) y[c * y_stride + p] = x[p * n_channels + c];
  }
}

void sums(const float* x, float* row_sums, float* abs_sums, size_t n_rows, size_t width) {
  for (size_t r = 0; r < n_rows; ++r, x += width) {
    row_sums[r] = sum16_of(x, width);
    abs_sums[r] = sum16(
        width, [=](size_t i) BITVIT_LAMBDA { return abs(load(x + i)); },
        [=](size_t i, size_t n) BITVIT_LAMBDA { return abs(load_first(x + i, n)); });
  }
}

}  // namespace

const RowsKernels& rows_kernels() {
  static constexpr RowsKernels kKernels = {
      add,         add_row,         affine,    affine_u8,  scale,           divide, larger,
      gelu,        rprelu,          mean_rows, layer_norm, layer_norm_sign, less,   greater,
      less_scalar, greater_shifted, quantize,  scaled_i32, split_channels,  sums};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

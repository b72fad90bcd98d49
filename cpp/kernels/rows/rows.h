// Element-wise and row-wise float operators. Formulas: docs/format.md, "Element-wise and rows", "To bits", "Runtime
// statistics".
//
// `x`, `y`: rows of `width` floats without gaps, any alignment. Parameters (`scale` and so on) have `width` elements.
// Bits are written as rows of BitWords(width) 64-bit words, padding bits 0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit {

struct RowsKernels {
  // y = a + b over n elements.
  void (*add)(const float* a, const float* b, float* y, size_t n);
  void (*add_row)(const float* x, const float* value, float* y, size_t n_rows, size_t width);
  void (*affine)(const float* x, const float* scale, const float* bias, float* y, size_t n_rows, size_t width);
  void (*affine_u8)(const uint8_t* x, const float* scale, const float* bias, float* y, size_t n_rows, size_t width);
  // y = x * factor over n elements.
  void (*scale)(const float* x, float factor, float* y, size_t n);
  // y = x / divisor over n elements.
  void (*divide)(const float* x, float divisor, float* y, size_t n);
  // y = b > a ? b : a over n elements.
  void (*larger)(const float* a, const float* b, float* y, size_t n);
  void (*gelu)(const float* x, float* y, size_t n);
  void (*rprelu)(const float* x, const float* before, const float* slope, const float* after, float* y, size_t n_rows,
                 size_t width);
  // y[c] = (x[0][c] + x[1][c] + ...) / n_rows for the columns begin..end-1.
  void (*mean_rows)(const float* x, float* y, size_t n_rows, size_t width, size_t begin, size_t end);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, float* y, size_t n_rows,
                     size_t width);
  // Bit: d * weight < threshold * s.
  void (*layer_norm_sign)(const float* x, const float* weight, const float* threshold, float eps, uint64_t* bits,
                          size_t n_rows, size_t width);
  // Bit: x < threshold.
  void (*less)(const float* x, const float* threshold, uint64_t* bits, size_t n_rows, size_t width);
  // Bit: x > threshold.
  void (*greater)(const float* x, const float* threshold, uint64_t* bits, size_t n_rows, size_t width);
  // Bit: x < threshold, one for all.
  void (*less_scalar)(const float* x, float threshold, uint64_t* bits, size_t n_rows, size_t width);
  // Bit: x - offset > threshold.
  void (*greater_shifted)(const float* x, float offset, float threshold, uint64_t* bits, size_t n_rows, size_t width);
  // levels = clamp(rint((x + shift) / step), -128, 127) + 128, rounding half to even.
  void (*quantize)(const float* x, const float* shift, float step, uint8_t* levels, size_t width);
  // y = base + scale * f32(acc - offset) over n elements.
  void (*scaled_i32)(const int32_t* acc, const int32_t* offset, const float* scale, const float* base, float* y,
                     size_t n);
  // y[c][i] = x[i][c] for n pixels; rows of y are y_stride bytes apart.
  void (*split_channels)(const uint8_t* x, size_t n, size_t n_channels, uint8_t* y, size_t y_stride);
  // sums[r] = sum16(x[r]), abs_sums[r] = sum16(abs(x[r])).
  void (*sums)(const float* x, float* sums, float* abs_sums, size_t n_rows, size_t width);
};

}  // namespace bitvit

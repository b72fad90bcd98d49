// The kernels of grid.h, once for every instruction set (kernels/vector.h).
#include "kernels/grid/grid.h"
#include "kernels/grid/grid_rows.inl"
#include "kernels/grid/stencil_sum.inl"
#include "kernels/part_ranks.inl"

namespace bitvit::BITVIT_ISA {
namespace {

#define BITVIT_LAMBDA __attribute__((always_inline))

constexpr size_t kMaxTaps = 64;

// y[i] = f(load): `load(p)` reads the lanes i.. of an array, zero-padded where fewer than 16 remain.
template <typename F>
BITVIT_INLINE void map_channels(float* y, size_t n, F f) {
  const size_t end = n & ~static_cast<size_t>(15);
  for (size_t i = 0; i < end; i += 16) store(y + i, f([i](const float* p) BITVIT_LAMBDA { return load(p + i); }));
  if (end < n) {
    const size_t count = n - end;
    store_first(y + end, f([=](const float* p) BITVIT_LAMBDA { return load_first(p + end, count); }), count);
  }
}

// Division by an integer. Up to kMostExact it is a product with the reciprocal, corrected by the remainder, which is
// exact: for each of these divisors and all significands that gives the quotient to the bit.
struct Divisor {
  f32x16 divisor, reciprocal;
  bool has_reciprocal;
};

constexpr float kMostExact = 64.0f;

BITVIT_INLINE f32x16 divide(const f32x16& x, const Divisor& d) {
#if defined(__AVX512F__)
  // Biased exponents 64 to 190: far from what overflows or is subnormal. Zeros, infinities and NaN are outside.
  const native_i32 above = ((native_i32)x.v[0] & 0x7f800000) - (64 << 23);
  const bool is_normal = _mm512_cmpgt_epu32_mask((__m512i)above, _mm512_set1_epi32(126 << 23)) == 0;
  if (d.has_reciprocal && __builtin_expect(is_normal, 1)) {
    const __m512 v = (__m512)x.v[0], r = (__m512)d.reciprocal.v[0], quotient = _mm512_mul_ps(v, r);
    const __m512 remainder = _mm512_fnmadd_ps(quotient, (__m512)d.divisor.v[0], v);
    return {{(native_f32)_mm512_fmadd_ps(remainder, r, quotient)}};
  }
#endif
  return x / d.divisor;
}

// Sums of taps for the cells of a run, along which each tap moves by its own distance: 0 for what lies outside.
struct TapRun {
  const float* cells[kMaxTaps];
  size_t steps[kMaxTaps];
  size_t n_taps;
};

// Sixteen channels of the cells of a run, those from `column` of the group on. kTaps: n_taps, or 0 for any number.
template <size_t kTaps, bool kHasEnd>
BITVIT_INLINE void add_taps(const TapRun& run, const Divisor& divisor, bool divides, size_t column, size_t count,
                            const StencilEnd& last, float* y, size_t step, size_t n_cells) {
  constexpr size_t kPlaces = kTaps != 0 ? kTaps : kMaxTaps;
  const size_t n_taps = kTaps != 0 ? kTaps : run.n_taps;
  const bool is_whole = count == 16;
  const auto get = [=](const float* p) BITVIT_LAMBDA { return is_whole ? load(p) : load_first(p, count); };
  const float* cells[kPlaces];
  for (size_t t = 0; t < n_taps; ++t) cells[t] = run.cells[t] + column;
  f32x16 scale = {}, bias = {};
  if constexpr (kHasEnd) {
    scale = get(last.scale + column);
    bias = get(last.bias + column);
  }
  const float* other = last.other == nullptr ? nullptr : last.other + column;
  y += column;
  for (size_t n = 0; n < n_cells; ++n, y += step) {
    f32x16 sum = get(cells[0]);
    if constexpr (kTaps != 0) {
      BITVIT_UNROLL
      for (size_t t = 1; t < kTaps; ++t) sum = sum + get(cells[t]);
    } else {
      for (size_t t = 1; t < n_taps; ++t) sum = sum + get(cells[t]);
    }
    if (divides) sum = divide(sum, divisor);
    if constexpr (kHasEnd) {
      sum = sum * scale + bias;
      if (other != nullptr) {
        sum = sum + get(other);
        other += step;
      }
    }
    if (is_whole) {
      store(y, sum);
    } else {
      store_first(y, sum, count);
    }
    for (size_t t = 0; t < n_taps; ++t) cells[t] += run.steps[t];
  }
}

template <size_t kTaps>
BITVIT_INLINE void add_all_channels(const TapRun& run, float divisor, const StencilEnd& last, float* y, size_t step,
                                    size_t width, size_t n_cells) {
  const Divisor d = {broadcast(divisor), broadcast(1.0f / divisor), divisor <= kMostExact};
  const bool divides = divisor != 1.0f;  // dividing by 1 changes nothing
  for (size_t column = 0; column < width; column += 16) {
    const size_t count = width - column < 16 ? width - column : 16;
    if (last.scale != nullptr) {
      add_taps<kTaps, true>(run, d, divides, column, count, last, y, step, n_cells);
    } else {
      add_taps<kTaps, false>(run, d, divides, column, count, last, y, step, n_cells);
    }
  }
}

BITVIT_INLINE void add_run(const TapRun& run, float divisor, const StencilEnd& last, float* y, size_t step,
                           size_t width, size_t n_cells) {
  switch (run.n_taps) {
    case 1:
      return add_all_channels<1>(run, divisor, last, y, step, width, n_cells);
    case 3:
      return add_all_channels<3>(run, divisor, last, y, step, width, n_cells);
    case 5:
      return add_all_channels<5>(run, divisor, last, y, step, width, n_cells);
    default:
      return add_all_channels<0>(run, divisor, last, y, step, width, n_cells);
  }
}

// The columns first..last-1 of a row for one group of channels, which begins at x and y. Columns whose taps are all
// inside are one run, the others runs of one.
BITVIT_INLINE void stencil_row(const float* x, const Stencil& s, size_t group, size_t row, size_t first, size_t last,
                               const StencilEnd& behind, float* y) {
  const GridTap* const taps = s.taps + s.first_tap[group];
  const size_t width = s.n_channels / s.n_groups, step = s.n_channels;
  const int64_t n_columns = static_cast<int64_t>(s.width);
  TapRun run;
  run.n_taps = s.first_tap[group + 1] - s.first_tap[group];
  const float* rows[kMaxTaps];
  int64_t low = 0, high = n_columns;  // columns with all taps inside
  for (size_t t = 0; t < run.n_taps; ++t) {
    const int64_t r = neighbour(row, taps[t].dy, s.height, s.wrap);
    rows[t] = r < 0 ? nullptr : x + static_cast<size_t>(r) * s.width * step;
    if (-taps[t].dx > low) low = -taps[t].dx;
    if (n_columns - taps[t].dx < high) high = n_columns - taps[t].dx;
  }
  for (size_t c = first; c < last;) {
    const bool is_inside = static_cast<int64_t>(c) >= low && static_cast<int64_t>(c) < high;
    const size_t end = !is_inside ? c + 1 : static_cast<int64_t>(last) < high ? last : static_cast<size_t>(high);
    for (size_t t = 0; t < run.n_taps; ++t) {
      const int64_t column = neighbour(c, taps[t].dx, s.width, s.wrap);
      const bool is_zero = rows[t] == nullptr || column < 0;
      run.cells[t] = is_zero ? s.zeros : rows[t] + static_cast<size_t>(column) * step;
      run.steps[t] = is_zero ? 0 : step;
    }
    const size_t cell = (row * s.width + c) * step;
    const StencilEnd here = {behind.scale, behind.bias, behind.other == nullptr ? nullptr : behind.other + cell};
    add_run(run, s.divisor, here, y + cell, step, width, end - c);
    c = end;
  }
}

void stencil(const float* x, const Stencil& s, const StencilEnd& last_part, float* y, size_t begin, size_t end) {
  const size_t group_width = s.n_channels / s.n_groups;
  for_row_parts(s.width, begin, end, [&](size_t row, size_t first, size_t last) BITVIT_LAMBDA {
    for (size_t g = 0; g < s.n_groups; ++g) {
      const size_t c = g * group_width;
      const StencilEnd behind = {last_part.scale == nullptr ? nullptr : last_part.scale + c,
                                 last_part.scale == nullptr ? nullptr : last_part.bias + c,
                                 last_part.other == nullptr ? nullptr : last_part.other + c};
      stencil_row(x + c, s, g, row, first, last, behind, y + c);
    }
  });
}

struct Window {
  size_t top, bottom, left, right;
};

// result = f(result, cell) over the cells of the window in row-major order, starting with the first.
template <typename Get, typename F>
BITVIT_INLINE f32x16 fold_window(const float* x, const Pool& p, const Window& w, Get get, F f) {
  f32x16 result = get(x + (w.top * p.width + w.left) * p.n_channels);
  for (size_t r = w.top; r < w.bottom; ++r) {
    const float* cell = x + (r * p.width + w.left) * p.n_channels;
    size_t c = w.left;
    if (r == w.top) {
      ++c;
      cell += p.n_channels;
    }
    for (; c < w.right; ++c, cell += p.n_channels) result = f(result, get(cell));
  }
  return result;
}

BITVIT_INLINE size_t clipped(size_t position, size_t padding, size_t size) {
  return position < padding ? 0 : position - padding < size ? position - padding : size;
}

void pool(const float* x, const Pool& p, float* y, size_t begin, size_t end) {
  const f32x16 count = broadcast(static_cast<float>(p.kernel * p.kernel));
  y += begin * p.n_channels;
  for (size_t n = begin; n < end; ++n, y += p.n_channels) {
    const size_t top = n / p.out_width * p.stride, left = n % p.out_width * p.stride;
    const Window window = {clipped(top, p.padding, p.height), clipped(top + p.kernel, p.padding, p.height),
                           clipped(left, p.padding, p.width), clipped(left + p.kernel, p.padding, p.width)};
    if (p.is_max) {
      map_channels(y, p.n_channels, [&](auto get) BITVIT_LAMBDA {
        return fold_window(x, p, window, get, [](const f32x16& m, const f32x16& v) BITVIT_LAMBDA { return max(v, m); });
      });
    } else {
      map_channels(y, p.n_channels, [&](auto get) BITVIT_LAMBDA {
        const f32x16 sum =
            fold_window(x, p, window, get, [](const f32x16& a, const f32x16& v) BITVIT_LAMBDA { return a + v; });
        return sum / count;
      });
    }
  }
}

typedef float f32x4 __attribute__((vector_size(16)));

BITVIT_INLINE f32x4 load_4(const float* p) {
  f32x4 r;
  __builtin_memcpy(&r, p, sizeof(r));
  return r;
}

// Row i of the result: number i of a, b, c, d.
BITVIT_INLINE void turn_4(f32x4& a, f32x4& b, f32x4& c, f32x4& d) {
#if defined(__x86_64__)
  __m128 p = (__m128)a, q = (__m128)b, r = (__m128)c, s = (__m128)d;
  _MM_TRANSPOSE4_PS(p, q, r, s);
  a = (f32x4)p, b = (f32x4)q, c = (f32x4)r, d = (f32x4)s;
#else
  const f32x4 p = {a[0], b[0], c[0], d[0]}, q = {a[1], b[1], c[1], d[1]};
  const f32x4 r = {a[2], b[2], c[2], d[2]}, s = {a[3], b[3], c[3], d[3]};
  a = p, b = q, c = r, d = s;
#endif
}

// The sums of four neighbouring outputs, a lane each.
BITVIT_INLINE f32x4 sum_of_4(const float* x, size_t group) {
  f32x4 sum = {};
  for (size_t i = 0; i < group; i += 4) {
    f32x4 a = load_4(x + i), b = load_4(x + group + i);
    f32x4 c = load_4(x + 2 * group + i), d = load_4(x + 3 * group + i);
    turn_4(a, b, c, d);
    sum = i == 0 ? a : sum + a;
    sum = ((sum + b) + c) + d;
  }
  return sum;
}

// Sixteen means of kGroup neighbours at a time. Returns how many were written.
template <size_t kGroup>
BITVIT_INLINE size_t mean_by_ranks(const float* x, float* y, size_t n) {
  const f32x16 count = broadcast(static_cast<float>(kGroup));
  size_t o = 0;
  for (; o + 16 <= n; o += 16, x += 16 * kGroup) {
    f32x16 v[kGroup];
    BITVIT_UNROLL
    for (size_t i = 0; i < kGroup; ++i) v[i] = load(x + 16 * i);
    part_ranks<kGroup, 1>(v);
    f32x16 sum = v[0];
    BITVIT_UNROLL
    for (size_t i = 1; i < kGroup; ++i) sum = sum + v[i];
    store(y + o, sum / count);
  }
  return o;
}

void mean_channels(const float* x, size_t group, float* y, size_t n) {
  const float count = static_cast<float>(group);
  size_t o = 0;
  if (kParts == 1 && group == 2) o = mean_by_ranks<2>(x, y, n);
  if (kParts == 1 && group == 4) o = mean_by_ranks<4>(x, y, n);
  if (kParts == 1 && group == 8) o = mean_by_ranks<8>(x, y, n);
  if (group % 4 == 0) {
    const f32x4 divisor = {count, count, count, count};
    for (; o + 4 <= n; o += 4) {
      const float* const first = x + o * group;
      const f32x4 sum = group == 4 ? sum_of_4(first, 4) : group == 8 ? sum_of_4(first, 8) : sum_of_4(first, group);
      const f32x4 mean = sum / divisor;
      __builtin_memcpy(y + o, &mean, sizeof(mean));
    }
  }
  if (group == 2) {
    for (; o < n; ++o) y[o] = (x[2 * o] + x[2 * o + 1]) / 2.0f;
  }
  for (; o < n; ++o) {
    float sum = x[o * group];
    for (size_t i = 1; i < group; ++i) sum = sum + x[o * group + i];
    y[o] = sum / count;
  }
}

}  // namespace

const GridKernels& grid_kernels() {
  static constexpr GridKernels kKernels = {stencil, stencil_sum_pattern, stencil_sum, pool, mean_channels};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

// Sums of stencils (grid.h), each scaled and shifted, in one pass: a cell is read once for all of them, and what they
// have in common is computed once.
#pragma once

#include "kernels/grid/grid.h"
#include "kernels/grid/grid_rows.inl"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

// The cells that the stencils of stencil_sums.inc read.
enum StencilPlace : size_t { kHere, kUp, kUp2, kDown, kDown2, kLeft, kLeft2, kRight, kRight2 };
constexpr size_t kStencilPlaces = 9;
constexpr GridTap kPlaceTaps[kStencilPlaces] = {{0, 0},  {-1, 0}, {-2, 0}, {1, 0}, {2, 0},
                                                {0, -1}, {0, -2}, {0, 1},  {0, 2}};
constexpr size_t kPlaceReach = 2;
// Below that a quotient is not sure to be exact.
constexpr float kLeastDividend = 0x1p-100f;

BITVIT_INLINE bool is_place(const GridTap& tap, StencilPlace place) {
  return tap.dy == kPlaceTaps[place].dy && tap.dx == kPlaceTaps[place].dx;
}

// x / kDivisor to the bit, if `least` is not below kLeastDividend at the end. With 1 / kDivisor = high + low, to 46
// bits, and both positive: a quotient by a small odd number is never that close to the middle between two floats. Zeros
// and infinities keep their sign.
template <size_t kDivisor>
BITVIT_INLINE f32x16 divide_by(const f32x16& x, f32x16& least) {
  static_assert(kDivisor == 3 || kDivisor == 5);
#if defined(__AVX512F__)
  constexpr float kHigh = static_cast<float>((1 << 24) / kDivisor) * 0x1p-24f;
  constexpr float kLow = static_cast<float>(1.0 / static_cast<double>(kDivisor) - static_cast<double>(kHigh));
  const __m512 v = (__m512)x.v[0];
  constexpr int kAbsoluteMinimum = 0xa;
  least.v[0] = (native_f32)_mm512_range_ps((__m512)least.v[0], v, kAbsoluteMinimum);
  return {{(native_f32)_mm512_fmadd_ps(v, _mm512_set1_ps(kHigh), _mm512_mul_ps(v, _mm512_set1_ps(kLow)))}};
#else
  (void)least;
  return x / broadcast(static_cast<float>(kDivisor));
#endif
}

// Terms: value(x, least) of the cells x, and after how many of the last values are replaced by their sum. kIsFast: by
// divide_by.
template <size_t kAdditions, StencilPlace... kPlaces>
struct Mean {
  static constexpr size_t kDivisor = sizeof...(kPlaces), kSums = kAdditions;
  static constexpr bool kDiffersByQuarter = false;

  BITVIT_INLINE bool matches(const StencilTerm& term) {
    const Stencil& s = *term.stencil;
    if (term.n_additions != kAdditions || s.n_groups != 1 || s.divisor != static_cast<float>(kDivisor)) return false;
    if (s.first_tap[1] != kDivisor) return false;
    size_t t = 0;
    return (is_place(s.taps[t++], kPlaces) && ...);
  }

  template <bool kIsFast, size_t kQuarter>
  BITVIT_INLINE f32x16 value(const f32x16* x, f32x16& least) {
    const f32x16 sum = (... + x[kPlaces]);
    if constexpr (kIsFast) return divide_by<kDivisor>(sum, least);
    return sum / broadcast(static_cast<float>(kDivisor));
  }
};

// Each quarter of the channels is that of another cell.
template <size_t kAdditions, StencilPlace... kPlaces>
struct Shift {
  static constexpr size_t kSums = kAdditions;
  static constexpr bool kDiffersByQuarter = true;
  static_assert(sizeof...(kPlaces) == 4);

  BITVIT_INLINE bool matches(const StencilTerm& term) {
    const Stencil& s = *term.stencil;
    if (term.n_additions != kAdditions || s.n_groups != 4 || s.divisor != 1.0f || s.first_tap[4] != 4) return false;
    size_t t = 0;
    return (is_place(s.taps[t++], kPlaces) && ...);
  }

  template <bool kIsFast, size_t kQuarter>
  BITVIT_INLINE f32x16 value(const f32x16* x, f32x16&) {
    constexpr StencilPlace kAll[] = {kPlaces...};
    return x[kAll[kQuarter]];
  }
};

// Where the places of a run of cells lie, and how far those of the next cell are: 0 for zeros.
struct PlaceRun {
  const float* at[kStencilPlaces];
  size_t steps[kStencilPlaces];
};

template <bool kIsFast, size_t kQuarter, size_t kTerm, size_t kDepth, typename Term, typename... Rest>
BITVIT_INLINE f32x16 sum_terms(const f32x16* x, const f32x16* scale, const f32x16* bias, f32x16* stack, f32x16& least) {
  stack[kDepth] = Term::template value<kIsFast, kQuarter>(x, least) * scale[kTerm] + bias[kTerm];
  BITVIT_UNROLL
  for (size_t top = kDepth; top > kDepth - Term::kSums; --top) stack[top - 1] = stack[top - 1] + stack[top];
  if constexpr (sizeof...(Rest) == 0) {
    static_assert(kDepth == Term::kSums);
    return stack[0];
  } else {
    return sum_terms<kIsFast, kQuarter, kTerm + 1, kDepth + 1 - Term::kSums, Rest...>(x, scale, bias, stack, least);
  }
}

// Sixteen channels, from `column` on, of a cell.
template <bool kIsFast, size_t kQuarter, typename... Terms>
BITVIT_INLINE f32x16 sum_cell(const float* const* at, const f32x16* scale, const f32x16* bias, f32x16& least) {
  f32x16 x[kStencilPlaces], stack[sizeof...(Terms)];
  BITVIT_UNROLL
  for (size_t p = 0; p < kStencilPlaces; ++p) x[p] = load(at[p]);
  return sum_terms<kIsFast, kQuarter, 0, 0, Terms...>(x, scale, bias, stack, least);
}

template <size_t kQuarter, typename... Terms>
void sum_run(const PlaceRun& run, const StencilSum& s, size_t column, float* y, size_t n_cells) {
  constexpr size_t kTerms = sizeof...(Terms);
  f32x16 scale[kTerms], bias[kTerms];
  BITVIT_UNROLL
  for (size_t t = 0; t < kTerms; ++t) {
    scale[t] = load(s.scale[t] + column);
    bias[t] = load(s.bias[t] + column);
  }
  const float* at[kStencilPlaces];
  BITVIT_UNROLL
  for (size_t p = 0; p < kStencilPlaces; ++p) at[p] = run.at[p] + column;
  y += column;
  for (size_t n = 0; n < n_cells; ++n, y += s.n_channels) {
    f32x16 least = broadcast(1.0f);
    f32x16 sum = sum_cell<true, kQuarter, Terms...>(at, scale, bias, least);
    if (__builtin_expect(less_bits(least, broadcast(kLeastDividend)) != 0, 0)) {
      sum = sum_cell<false, kQuarter, Terms...>(at, scale, bias, least);
    }
    store(y, sum);
    BITVIT_UNROLL
    for (size_t p = 0; p < kStencilPlaces; ++p) at[p] += run.steps[p];
  }
}

template <typename... Terms>
struct SumOfStencils {
  static constexpr bool kDiffersByQuarter = (Terms::kDiffersByQuarter || ...);

  static bool matches(const StencilTerm* terms, size_t n_terms) {
    const size_t n_channels = terms[0].stencil->n_channels;
    if (n_terms != sizeof...(Terms) || n_channels % (kDiffersByQuarter ? 64 : 16) != 0) return false;
    size_t t = 0;
    return (Terms::matches(terms[t++]) && ...);
  }

  static void add(const PlaceRun& run, const StencilSum& s, float* y, size_t n_cells) {
    for (size_t column = 0; column < s.n_channels; column += 16) {
      const size_t quarter = kDiffersByQuarter ? column / (s.n_channels / 4) : 0;
      const auto sum = quarter == 0   ? sum_run<0, Terms...>
                       : quarter == 1 ? sum_run<1, Terms...>
                       : quarter == 2 ? sum_run<2, Terms...>
                                      : sum_run<3, Terms...>;
      sum(run, s, column, y, n_cells);
    }
  }
};

struct StencilSumKernel {
  bool (*matches)(const StencilTerm* terms, size_t n_terms);
  void (*add)(const PlaceRun& run, const StencilSum& s, float* y, size_t n_cells);
};

constexpr StencilSumKernel kStencilSums[] = {
#define BITVIT_STENCIL_SUM(...) {SumOfStencils<__VA_ARGS__>::matches, SumOfStencils<__VA_ARGS__>::add},
#include "kernels/grid/stencil_sums.inc"
#undef BITVIT_STENCIL_SUM
};

size_t stencil_sum_pattern(const StencilTerm* terms, size_t n_terms) {
  constexpr size_t kPatterns = sizeof(kStencilSums) / sizeof(kStencilSums[0]);
  for (size_t pattern = 0; pattern < kPatterns; ++pattern) {
    if (kStencilSums[pattern].matches(terms, n_terms)) return pattern;
  }
  return kNoStencilSum;
}

// The columns first..last-1 of a row. Those whose places are all inside the row are one run, the others runs of one.
BITVIT_INLINE void sum_row(const float* x, const StencilSum& s, size_t row, size_t first, size_t last, float* y) {
  void (*const add)(const PlaceRun&, const StencilSum&, float*, size_t) = kStencilSums[s.pattern].add;
  const size_t step = s.n_channels, high = s.width > kPlaceReach ? s.width - kPlaceReach : 0;
  const float* rows[kStencilPlaces];
  for (size_t p = 0; p < kStencilPlaces; ++p) {
    const int64_t r = neighbour(row, kPlaceTaps[p].dy, s.height, s.wrap);
    rows[p] = r < 0 ? nullptr : x + static_cast<size_t>(r) * s.width * step;
  }
  for (size_t c = first; c < last;) {
    const size_t end = c < kPlaceReach || c >= high ? c + 1 : last < high ? last : high;
    PlaceRun run;
    for (size_t p = 0; p < kStencilPlaces; ++p) {
      const int64_t column = neighbour(c, kPlaceTaps[p].dx, s.width, s.wrap);
      const bool is_zero = rows[p] == nullptr || column < 0;
      run.at[p] = is_zero ? s.zeros : rows[p] + static_cast<size_t>(column) * step;
      run.steps[p] = is_zero ? 0 : step;
    }
    add(run, s, y + (row * s.width + c) * step, end - c);
    c = end;
  }
}

void stencil_sum(const float* x, const StencilSum& s, float* y, size_t begin, size_t end) {
  for_row_parts(s.width, begin, end, [&](size_t row, size_t first, size_t last) __attribute__((always_inline)) {
    sum_row(x, s, row, first, last, y);
  });
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

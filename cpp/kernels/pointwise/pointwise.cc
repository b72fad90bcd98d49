// The kernel of pointwise.h, once for every instruction set (kernels/vector.h). The chains of chains.inc are compiled,
// each as one loop over its links; others are interpreted link by link.
#include "kernels/pointwise/pointwise.h"

#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

#define BITVIT_LAMBDA __attribute__((always_inline))

constexpr size_t kVectors = kPointwiseBlock / 16;
constexpr size_t kRows = kNativeLanes / 4;  // at a time, which share the loads of parameters

constexpr PointwiseKind kAdd = PointwiseKind::kAdd, kAddRow = PointwiseKind::kAddRow;
constexpr PointwiseKind kAffine = PointwiseKind::kAffine, kRprelu = PointwiseKind::kRprelu;
constexpr PointwiseKind kSign = PointwiseKind::kSign, kMask = PointwiseKind::kMask;

// Bits of a chain's name that a link takes; 0 is not a kind.
constexpr int kKindBits = 3;

template <PointwiseKind... kKinds>
constexpr uint64_t name_of() {
  uint64_t name = 0;
  ((name = name << kKindBits | (static_cast<uint64_t>(kKinds) + 1)), ...);
  return name;
}

// Where a link finds what belongs to the column 0 of a block of 64 and to the first of its rows.
struct Place {
  const float *p0, *p1, *p2, *other;
  size_t other_width;
  float* out;
};

constexpr bool writes_bits(PointwiseKind kind) { return kind == kSign || kind == kMask; }

// One link for sixteen columns, the first of which is `column`, of n rows. words: bits of the rows, to which `shift`
// gives the place of the first.
template <PointwiseKind kKind, size_t n>
BITVIT_INLINE void apply(const Place& place, size_t column, size_t width, f32x16* v, uint64_t* words, size_t shift) {
  if constexpr (kKind == kAdd) {
    BITVIT_UNROLL
    for (size_t r = 0; r < n; ++r) v[r] = v[r] + load(place.other + r * place.other_width + column);
  } else if constexpr (kKind == kAddRow) {
    const f32x16 value = load(place.p0 + column);
    BITVIT_UNROLL
    for (size_t r = 0; r < n; ++r) v[r] = v[r] + value;
  } else if constexpr (kKind == kAffine) {
    const f32x16 scale = load(place.p0 + column), bias = load(place.p1 + column);
    BITVIT_UNROLL
    for (size_t r = 0; r < n; ++r) v[r] = v[r] * scale + bias;
  } else if constexpr (kKind == kRprelu) {
    const f32x16 before = load(place.p0 + column), slope = load(place.p1 + column), after = load(place.p2 + column);
    BITVIT_UNROLL
    for (size_t r = 0; r < n; ++r) {
      const f32x16 t = v[r] - before;
      v[r] = select_negative(t, slope * t, t) + after;
    }
  } else {
    const f32x16 threshold = load(place.p0 + column);
    BITVIT_UNROLL
    for (size_t r = 0; r < n; ++r) {
      const uint32_t bits = kKind == kSign ? less_bits(v[r], threshold) : less_bits(threshold, v[r]);
      words[r] |= static_cast<uint64_t>(bits) << shift;
    }
  }
  if constexpr (!writes_bits(kKind)) {
    if (place.out == nullptr) return;
    BITVIT_UNROLL
    for (size_t r = 0; r < n; ++r) store(place.out + r * width + column, v[r]);
  }
}

BITVIT_INLINE Place place_of(const PointwiseLink& link, size_t row, size_t width) {
  const size_t other_width = link.other_width;
  return {link.parameters[0], link.parameters[1],
          link.parameters[2], link.other == nullptr ? nullptr : link.other + row * other_width,
          other_width,        link.out == nullptr ? nullptr : link.out + row * width};
}

template <size_t... kIndices>
struct Indices {};
template <size_t kCount, size_t... kIndices>
struct MakeIndices : MakeIndices<kCount - 1, kCount - 1, kIndices...> {};
template <size_t... kIndices>
struct MakeIndices<0, kIndices...> {
  using type = Indices<kIndices...>;
};

// The chain for the rows row..row + n - 1.
template <size_t n, PointwiseKind... kKinds, size_t... kLinks>
BITVIT_INLINE void run_rows(const float* x, const PointwiseLink* links, size_t row, size_t width, Indices<kLinks...>) {
  Place places[] = {place_of(links[kLinks], row, width)...};
  constexpr size_t kLast = sizeof...(kKinds) - 1;
  uint64_t* bits = links[kLast].bits == nullptr ? nullptr : links[kLast].bits + row * width / 64;
  x += row * width;
  size_t left[] = {places[kLinks].other_width...};  // columns until `other` begins again
  for (size_t c = 0; c < width; c += kPointwiseBlock) {
    uint64_t words[n] = {};
    BITVIT_UNROLL
    for (size_t i = 0; i < kVectors; ++i) {
      const size_t column = c + 16 * i;
      f32x16 v[n];
      BITVIT_UNROLL
      for (size_t r = 0; r < n; ++r) v[r] = load(x + r * width + column);
      (apply<kKinds, n>(places[kLinks], column, width, v, words, 16 * i), ...);
    }
    if (bits != nullptr) {
      BITVIT_UNROLL
      for (size_t r = 0; r < n; ++r) bits[r * (width / 64) + c / 64] = words[r];
    }
    const auto repeat = [&](size_t link) BITVIT_LAMBDA {
      left[link] -= kPointwiseBlock;
      if (left[link] == 0) {
        left[link] = places[link].other_width;
        places[link].other -= places[link].other_width;
      }
    };
    ((kKinds == kAdd ? repeat(kLinks) : (void)0), ...);
  }
}

template <PointwiseKind... kKinds>
void run_chain(const float* x, const PointwiseLink* links, size_t begin, size_t end, size_t width) {
  using Links = typename MakeIndices<sizeof...(kKinds)>::type;
  size_t r = begin;
  for (; r + kRows <= end; r += kRows) run_rows<kRows, kKinds...>(x, links, r, width, Links{});
  if constexpr (kRows > 1) {
    for (; r < end; ++r) run_rows<1, kKinds...>(x, links, r, width, Links{});
  }
}

template <PointwiseKind kKind>
struct KindConstant {
  static constexpr PointwiseKind value = kKind;
};

// Calls f(KindConstant<kind>).
template <typename F>
BITVIT_INLINE void with_kind(PointwiseKind kind, F f) {
  switch (kind) {
    case kAdd:
      return f(KindConstant<kAdd>{});
    case kAddRow:
      return f(KindConstant<kAddRow>{});
    case kAffine:
      return f(KindConstant<kAffine>{});
    case kRprelu:
      return f(KindConstant<kRprelu>{});
    case kSign:
      return f(KindConstant<kSign>{});
    case kMask:
      return f(KindConstant<kMask>{});
  }
}

// Any chain: a block of 64 columns goes through all links.
void interpret(const float* x, const PointwiseLink* links, size_t n_links, size_t begin, size_t end, size_t width) {
  for (size_t r = begin; r < end; ++r) {
    for (size_t c = 0; c < width; c += kPointwiseBlock) {
      f32x16 block[kVectors];
      BITVIT_UNROLL
      for (size_t i = 0; i < kVectors; ++i) block[i] = load(x + r * width + c + 16 * i);
      for (const PointwiseLink* link = links; link != links + n_links; ++link) {
        Place place = place_of(*link, r, width);
        if (place.other != nullptr && c >= place.other_width) place.other -= c - c % place.other_width;
        uint64_t word = 0;
        const auto apply_kind = [&](auto kind) BITVIT_LAMBDA {
          BITVIT_UNROLL
          for (size_t i = 0; i < kVectors; ++i) {
            apply<decltype(kind)::value, 1>(place, c + 16 * i, width, block + i, &word, 16 * i);
          }
        };
        with_kind(link->kind, apply_kind);
        if (writes_bits(link->kind)) link->bits[(r * width + c) / 64] = word;
      }
    }
  }
}

void run(const float* x, const PointwiseLink* links, size_t n_links, size_t begin, size_t end, size_t width) {
  uint64_t name = 0;
  for (size_t i = 0; i < n_links; ++i) name = name << kKindBits | (static_cast<uint64_t>(links[i].kind) + 1);
  switch (name) {
#define BITVIT_CHAIN(...)      \
  case name_of<__VA_ARGS__>(): \
    return run_chain<__VA_ARGS__>(x, links, begin, end, width);
#include "kernels/pointwise/chains.inc"
#undef BITVIT_CHAIN
    default:
      interpret(x, links, n_links, begin, end, width);
  }
}

}  // namespace

const PointwiseKernels& pointwise_kernels() {
  static constexpr PointwiseKernels kKernels = {run};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

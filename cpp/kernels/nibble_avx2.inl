// AVX2 popcounts by table lookup: 4 bits of two rows against 4 bits of many lanes at a time.
//
// "Lanes" are the columns of the product (output channels, keys). Lanes are packed in strips of 32; a strip has one
// 32-byte register for every 4 bits of K (a step), in which each lane owns a byte whose low half holds its 4 bits. For
// the 4 bits a of a row and b of another, the table popcount(i ^ a) + 16 popcount(i ^ b), or the same with &, i < 16,
// is one of 256 constants of 16 bytes, and vpshufb looks up 32 lanes at once. A lookup is at most 4 in each half, so
// that three of them add up within the halves before these are taken apart (LookUp): 9 operations for 3 * 256 bit
// products.
//
// Up to kMaxStrips strips form a block, [steps][strips][32 bytes], whose sums stay in registers while the steps of two
// rows go by. Strips are spread evenly over blocks.
#include "kernels/popcount.h"

namespace bitvit::avx2 {
namespace {

constexpr size_t kStrip = 32;
constexpr size_t kMaxStrips = 5;      // of a block: more sums do not fit in the registers
constexpr size_t kMaxByteSteps = 63;  // 63 * 4 <= 255

// rows[a + 16 b][i] = popcount(i op a) + 16 popcount(i op b)
struct alignas(64) PairTable {
  uint8_t rows[256][16];
};

constexpr uint8_t bit_count(int x) {
  return static_cast<uint8_t>((x & 1) + ((x >> 1) & 1) + ((x >> 2) & 1) + ((x >> 3) & 1));
}

constexpr PairTable make_table(bool exclusive_or) {
  PairTable table{};
  for (int ab = 0; ab < 256; ++ab) {
    for (int i = 0; i < 16; ++i) {
      const int a = ab & 15, b = ab >> 4;
      const int low = bit_count(exclusive_or ? a ^ i : a & i), high = bit_count(exclusive_or ? b ^ i : b & i);
      table.rows[ab][i] = static_cast<uint8_t>(low + 16 * high);
    }
  }
  return table;
}

constexpr PairTable kXorTable = make_table(true);
constexpr PairTable kAndTable = make_table(false);

constexpr size_t nibble_steps(size_t n_bits) { return (n_bits + 3) / 4; }

// How lanes are spread over blocks.
struct Strips {
  size_t n_strips, block_strips;

  constexpr Strips(size_t n_lanes, size_t max_strips) : n_strips((n_lanes + kStrip - 1) / kStrip), block_strips(0) {
    const size_t n_blocks = (n_strips + max_strips - 1) / max_strips;
    block_strips = (n_strips + n_blocks - 1) / n_blocks;
  }
  constexpr size_t n_lanes() const { return n_strips * kStrip; }
};

constexpr size_t packed_lane_bytes(size_t n_bits, size_t n_lanes) {
  return (n_lanes + kStrip - 1) / kStrip * kStrip * nibble_steps(n_bits);
}

// Steps of two rows that expand_pair writes, the excess included.
constexpr size_t pair_steps(size_t n_bits) { return (n_bits + 63) / 64 * 16; }

// 64 bits of two rows -> 16 steps: the 4 bits of both in a byte.
BITVIT_INLINE __m128i join_rows(uint64_t a, uint64_t b) {
  const __m128i low_half = _mm_set1_epi8(15), high_half = _mm_set1_epi8(static_cast<char>(0xf0));
  const __m128i x = _mm_cvtsi64_si128(static_cast<int64_t>(a)), y = _mm_cvtsi64_si128(static_cast<int64_t>(b));
  const __m128i even = _mm_or_si128(_mm_and_si128(x, low_half), _mm_and_si128(_mm_slli_epi16(y, 4), high_half));
  const __m128i odd = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(x, 4), low_half), _mm_and_si128(y, high_half));
  return _mm_unpacklo_epi8(even, odd);
}

// Two rows of ceil(n_bits / 64) words -> the place in the table of each step.
BITVIT_INLINE void expand_pair(const uint64_t* a, const uint64_t* b, size_t n_bits, uint16_t* steps) {
  for (size_t i = 0; i < (n_bits + 63) / 64; ++i) {
    const __m256i joined = _mm256_cvtepu8_epi16(join_rows(a[i], b[i]));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(steps + 16 * i), _mm256_slli_epi16(joined, 4));
  }
}

// The 64 bits of 16 lanes -> 16 steps of 16 bytes each, `stride` bytes apart. n_steps limits what is written.
BITVIT_INLINE void transpose_nibbles(const uint64_t* words, uint8_t* out, size_t stride, size_t n_steps) {
  // Four perfect shuffles of the bytes bring the bytes of equal rank together, lanes in order.
  __m128i x[16];
  BITVIT_UNROLL
  for (int i = 0; i < 16; ++i) x[i] = _mm_cvtsi64_si128(static_cast<int64_t>(words[i]));
  __m128i y[8], z[8];
  BITVIT_UNROLL
  for (int i = 0; i < 8; ++i) y[i] = _mm_unpacklo_epi8(x[i], x[i + 8]);
  BITVIT_UNROLL
  for (int i = 0; i < 4; ++i) {
    z[2 * i] = _mm_unpacklo_epi8(y[i], y[i + 4]);
    z[2 * i + 1] = _mm_unpackhi_epi8(y[i], y[i + 4]);
  }
  // z[2i + h]: lanes i, i+4, i+8, i+12 of the bytes 4h..4h+3.
  BITVIT_UNROLL
  for (int i = 0; i < 2; ++i) {
    BITVIT_UNROLL
    for (int h = 0; h < 2; ++h) {
      y[4 * i + 2 * h] = _mm_unpacklo_epi8(z[2 * i + h], z[2 * (i + 2) + h]);
      y[4 * i + 2 * h + 1] = _mm_unpackhi_epi8(z[2 * i + h], z[2 * (i + 2) + h]);
    }
  }
  const __m128i low_half = _mm_set1_epi8(15);
  BITVIT_UNROLL
  for (int byte = 0; byte < 8; ++byte) {
    const __m128i even = y[byte / 2], odd = y[4 + byte / 2];
    const __m128i bytes = byte % 2 == 0 ? _mm_unpacklo_epi8(even, odd) : _mm_unpackhi_epi8(even, odd);
    const size_t step = 2 * static_cast<size_t>(byte);
    if (step < n_steps) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + step * stride), _mm_and_si128(bytes, low_half));
    }
    if (step + 1 < n_steps) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + (step + 1) * stride),
                       _mm_and_si128(_mm_srli_epi16(bytes, 4), low_half));
    }
  }
}

// Bits of n_lanes rows (get_row(l): the words of lane l) -> blocks of strips; missing lanes are 0.
template <typename GetRow>
BITVIT_INLINE void pack_lanes(GetRow get_row, size_t n_bits, size_t n_lanes, const Strips& strips, uint8_t* packed) {
  const size_t n_steps = nibble_steps(n_bits);
  for (size_t lane = 0; lane < strips.n_lanes(); lane += 16) {
    const size_t block = lane / kStrip / strips.block_strips, first = block * strips.block_strips;
    const size_t left = strips.n_strips - first;
    const size_t stride = (left < strips.block_strips ? left : strips.block_strips) * kStrip;
    uint8_t* const out = packed + first * kStrip * n_steps + (lane - first * kStrip);
    const uint64_t* rows[16];
    for (size_t i = 0; i < 16; ++i) rows[i] = lane + i < n_lanes ? get_row(lane + i) : nullptr;
    for (size_t w = 0; w < (n_bits + 63) / 64; ++w) {
      uint64_t words[16];
      for (size_t i = 0; i < 16; ++i) words[i] = rows[i] != nullptr ? rows[i][w] : 0;
      transpose_nibbles(words, out + 16 * w * stride, stride, n_steps - 16 * w);
    }
  }
}

// The compiler would copy every sum into another register and back.
BITVIT_INLINE void add_bytes(__m256i& sum, const __m256i& x) { __asm__("vpaddb %1, %0, %0" : "+x"(sum) : "x"(x)); }
BITVIT_INLINE void add_words(__m256i& sum, const __m256i& x) { __asm__("vpaddw %1, %0, %0" : "+x"(sum) : "x"(x)); }

// The steps of two rows that are to be looked up: places in the table, and where the lanes of a step begin if not all
// steps are taken (else nullptr), both from the first of them on.
struct PairSteps {
  const uint16_t* places;
  const uint16_t* list;
};

// Sums over n <= kMaxByteSteps steps of two rows in a block of kStrips strips, as bytes.
//
// Three lookups s = a + 16 b are taken apart without separating b: L adds the bytes a, H the 16-bit words (s >> 4) =
// b_0 + 16 a_1 + 256 b_1 modulo 2^16 (indices: the bytes of the word), from which the sum of 16 a_1, known from L, is
// subtracted at the end.
template <int kStrips, bool kIsListed>
BITVIT_INLINE void look_up(const PairSteps& steps, const uint8_t* lanes, size_t n, const PairTable& table,
                           __m256i* low_sums, __m256i* high_sums) {
  constexpr size_t kBlock = kStrips * kStrip;
  const __m256i low_half = _mm256_set1_epi8(15);
  __m256i low[kStrips], high[kStrips];
  BITVIT_UNROLL
  for (int v = 0; v < kStrips; ++v) low[v] = high[v] = _mm256_setzero_si256();
  const auto row_of = [&](size_t i) __attribute__((always_inline)) {
    return _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(table.rows[0] + steps.places[i])));
  };
  const auto lanes_of = [&](size_t i)
                            __attribute__((always_inline)) { return lanes + (kIsListed ? steps.list[i] : i) * kBlock; };
  const auto look = [](const __m256i& row, const uint8_t* bits, int v) __attribute__((always_inline)) {
    const __m256i* const of_lanes = reinterpret_cast<const __m256i*>(bits + v * static_cast<int>(kStrip));
    return _mm256_shuffle_epi8(row, _mm256_loadu_si256(of_lanes));
  };
  const auto take_apart = [&](const __m256i& s, int v) __attribute__((always_inline)) {
    add_bytes(low[v], _mm256_and_si256(s, low_half));
    add_words(high[v], _mm256_srli_epi16(s, 4));
  };
  size_t i = 0;
  for (; i + 3 <= n; i += 3) {
    const __m256i row0 = row_of(i), row1 = row_of(i + 1), row2 = row_of(i + 2);
    const uint8_t *const bits0 = lanes_of(i), *const bits1 = lanes_of(i + 1), *const bits2 = lanes_of(i + 2);
    BITVIT_UNROLL
    for (int v = 0; v < kStrips; ++v) {
      const __m256i two = _mm256_add_epi8(look(row0, bits0, v), look(row1, bits1, v));
      take_apart(_mm256_add_epi8(two, look(row2, bits2, v)), v);
    }
  }
  for (; i < n; ++i) {
    const __m256i row = row_of(i);
    const uint8_t* const bits = lanes_of(i);
    BITVIT_UNROLL
    for (int v = 0; v < kStrips; ++v) take_apart(look(row, bits, v), v);
  }
  BITVIT_UNROLL
  for (int v = 0; v < kStrips; ++v) {
    const __m256i of_odd_bytes = _mm256_and_si256(_mm256_srli_epi16(low[v], 4), _mm256_set1_epi16(0x0ff0));
    low_sums[v] = low[v];
    high_sums[v] = _mm256_sub_epi16(high[v], of_odd_bytes);
  }
}

template <int kStrips>
BITVIT_INLINE void store_counts(const __m256i* sums, bool, uint8_t* bytes) {
  BITVIT_UNROLL
  for (int v = 0; v < kStrips; ++v) _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes + 32 * v), sums[v]);
}

template <int kStrips>
BITVIT_INLINE void store_counts(const __m256i* sums, bool is_first, uint16_t* counts) {
  BITVIT_UNROLL
  for (int i = 0; i < 2 * kStrips; ++i) {
    const __m256i sum = sums[i / 2];
    const __m128i half = i % 2 == 0 ? _mm256_castsi256_si128(sum) : _mm256_extracti128_si256(sum, 1);
    __m256i* const out = reinterpret_cast<__m256i*>(counts + 16 * i);
    const __m256i wide = _mm256_cvtepu8_epi16(half);
    _mm256_storeu_si256(out, is_first ? wide : _mm256_add_epi16(wide, _mm256_loadu_si256(out)));
  }
}

template <int kStrips, typename Count>
BITVIT_INLINE void count_strips(const PairSteps& steps, const uint8_t* lanes, size_t n, const PairTable& table,
                                bool is_first, Count* a, Count* b) {
  __m256i low[kStrips], high[kStrips];
  if (steps.list == nullptr) {
    look_up<kStrips, false>(steps, lanes, n, table, low, high);
  } else {
    look_up<kStrips, true>(steps, lanes, n, table, low, high);
  }
  store_counts<kStrips>(low, is_first, a);
  store_counts<kStrips>(high, is_first, b);
}

// Counts of two rows in a block of n_strips strips, for n <= kMaxByteSteps steps. As bytes, or as 16-bit numbers that
// begin with the first call for the rows and are added to by the others. `lanes`: where the lanes of step 0 of a list
// begin, else those of the first step.
template <typename Count>
void count_pair(const PairSteps& steps, const uint8_t* lanes, size_t n, const PairTable& table, bool is_first, Count* a,
                Count* b, size_t n_strips) {
  switch (n_strips) {
    case 1:
      return count_strips<1>(steps, lanes, n, table, is_first, a, b);
    case 2:
      return count_strips<2>(steps, lanes, n, table, is_first, a, b);
    case 3:
      return count_strips<3>(steps, lanes, n, table, is_first, a, b);
    case 4:
      return count_strips<4>(steps, lanes, n, table, is_first, a, b);
    default:
      return count_strips<5>(steps, lanes, n, table, is_first, a, b);
  }
}

// Counts of two rows with all lanes: bytes where all steps fit, else 16-bit numbers. `n`: the number of steps, or of
// entries of the list.
template <typename Count>
BITVIT_INLINE void count_all(PairSteps steps, size_t n, const uint8_t* lanes, const Strips& strips, size_t n_steps,
                             const PairTable& table, Count* a, Count* b) {
  for (size_t first = 0; first < strips.n_strips; first += strips.block_strips) {
    const size_t left = strips.n_strips - first;
    const size_t n_strips = left < strips.block_strips ? left : strips.block_strips;
    size_t begin = 0;
    do {
      const size_t count = n - begin < kMaxByteSteps ? n - begin : kMaxByteSteps;
      const bool is_listed = steps.list != nullptr;
      count_pair({steps.places + begin, is_listed ? steps.list + begin : nullptr},
                 lanes + (is_listed ? 0 : begin * n_strips * kStrip), count, table, begin == 0, a + first * kStrip,
                 b + first * kStrip, n_strips);
      begin += count;
    } while (begin < n);
    lanes += n_steps * n_strips * kStrip;
  }
}

struct StepLists {
  uint8_t positions[256][8];
};

constexpr StepLists make_step_lists() {
  StepLists lists{};
  for (int set = 0; set < 256; ++set) {
    int n = 0;
    for (int i = 0; i < 8; ++i) {
      if (((set >> i) & 1) != 0) lists.positions[set][n++] = static_cast<uint8_t>(i);
    }
  }
  return lists;
}

// The positions of the 1 bits of every byte.
constexpr StepLists kStepLists = make_step_lists();

// As expand_pair, but only the steps in which a bit is 1, and their numbers; returns how many, rounded up to threes
// with steps that have no bits. Up to 8 more entries of both are written.
BITVIT_INLINE size_t expand_used(const uint64_t* a, const uint64_t* b, size_t n_words, uint16_t* places,
                                 uint16_t* list) {
  size_t n = 0;
  for (size_t i = 0; i < n_words; ++i) {
    const __m128i joined = join_rows(a[i], b[i]);
    const uint32_t used = ~static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(joined, _mm_setzero_si128())));
    for (size_t half = 0; half < 2; ++half) {
      const uint32_t set = (used >> (8 * half)) & 255;
      const __m128i positions = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kStepLists.positions[set]));
      const __m128i first = _mm_set1_epi16(static_cast<int16_t>(16 * i + 8 * half));
      const __m128i of_half = half == 0 ? joined : _mm_unpackhi_epi64(joined, joined);
      const __m128i place = _mm_slli_epi16(_mm_cvtepu8_epi16(_mm_shuffle_epi8(of_half, positions)), 4);
      _mm_storeu_si128(reinterpret_cast<__m128i*>(list + n), _mm_add_epi16(_mm_cvtepu8_epi16(positions), first));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(places + n), place);
      n += static_cast<size_t>(popcount(set));
    }
  }
  for (; n % 3 != 0; ++n) places[n] = list[n] = 0;
  return n;
}

}  // namespace
}  // namespace bitvit::avx2

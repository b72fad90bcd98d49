// AVX2 popcounts by table lookup: 4 bits of a row against 4 bits of many lanes at a time.
//
// "Lanes" are the columns of the product (output channels, keys). Lanes are packed in strips of 32; a strip has one
// 32-byte register for every 4 bits of K (a step), in which each lane owns a byte whose low half holds its 4 bits. For
// a row's 4 bits a, the table popcount(i ^ a) or popcount(i & a), i < 16, is one of 16 constant registers, and vpshufb
// looks up 32 lanes at once. Two operations (vpshufb, vpaddb) for 128 bit products; a lookup is at most 4, so that 62
// steps fit in the byte sums.
//
// Up to 12 strips form a block, [steps][strips][32 bytes], whose sums stay in registers while the steps of one row go
// by. Strips are spread evenly over blocks.
#include "kernels/popcount.h"

namespace bitvit::avx2 {
namespace {

constexpr size_t kStrip = 32;
constexpr size_t kMaxStrips = 12;     // of a block: more sums do not fit in the registers
constexpr size_t kMaxByteSteps = 62;  // 62 * 4 <= 255

struct alignas(64) NibbleTable {
  uint8_t rows[16][kStrip];
};

constexpr uint8_t bit_count(int x) {
  return static_cast<uint8_t>((x & 1) + ((x >> 1) & 1) + ((x >> 2) & 1) + ((x >> 3) & 1));
}

constexpr NibbleTable make_table(bool exclusive_or) {
  NibbleTable table{};
  for (int a = 0; a < 16; ++a) {
    for (int i = 0; i < 32; ++i) table.rows[a][i] = bit_count(exclusive_or ? a ^ (i & 15) : a & (i & 15));
  }
  return table;
}

constexpr NibbleTable kXorTable = make_table(true);
constexpr NibbleTable kAndTable = make_table(false);

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

// Bytes from the steps of one row to those of the next, the excess that expand_row writes included.
constexpr size_t step_stride(size_t n_bits) { return (n_bits + 63) / 64 * 16; }

// One row of ceil(n_bits / 64) words -> one byte a step: the 4 bits times 16 (half an offset into the table).
BITVIT_INLINE void expand_row(const uint64_t* row, size_t n_bits, uint8_t* steps) {
  const __m128i high_half = _mm_set1_epi8(static_cast<char>(0xf0));
  for (size_t i = 0; i < (n_bits + 63) / 64; ++i) {
    const __m128i x = _mm_cvtsi64_si128(static_cast<int64_t>(row[i]));
    const __m128i low = _mm_and_si128(_mm_slli_epi16(x, 4), high_half);
    const __m128i high = _mm_and_si128(x, high_half);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(steps + 16 * i), _mm_unpacklo_epi8(low, high));
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
    for (size_t w = 0; w < (n_bits + 63) / 64; ++w) {
      uint64_t words[16];
      for (size_t i = 0; i < 16; ++i) words[i] = lane + i < n_lanes ? get_row(lane + i)[w] : 0;
      transpose_nibbles(words, out + 16 * w * stride, stride, n_steps - 16 * w);
    }
  }
}

// The compiler would copy every sum into another register and back.
BITVIT_INLINE void add_bytes(__m256i& sum, const __m256i& x) { __asm__("vpaddb %1, %0, %0" : "+x"(sum) : "x"(x)); }

// sums = lookups of the steps begin..end-1 of one row in a block of kStrips strips. If `list` is given, of the steps in
// list[begin..end-1] only.
template <int kStrips>
BITVIT_INLINE void look_up(const uint8_t* steps, const uint16_t* list, const uint8_t* lanes, size_t begin, size_t end,
                           const NibbleTable& table, __m256i* sums) {
  __m256i sum[kStrips];
  BITVIT_UNROLL
  for (int v = 0; v < kStrips; ++v) sum[v] = _mm256_setzero_si256();
  for (size_t i = begin; i < end; ++i) {
    const size_t s = list == nullptr ? i : list[i];
    const size_t half_offset = steps[s];
    const __m256i row = _mm256_load_si256(reinterpret_cast<const __m256i*>(table.rows[0] + 2 * half_offset));
    const uint8_t* const bits = lanes + s * (kStrips * kStrip);
    BITVIT_UNROLL
    for (int v = 0; v < kStrips; ++v) {
      const __m256i of_lanes =
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits + v * static_cast<int>(kStrip)));
      add_bytes(sum[v], _mm256_shuffle_epi8(row, of_lanes));
    }
  }
  BITVIT_UNROLL
  for (int v = 0; v < kStrips; ++v) sums[v] = sum[v];
}

// The sums as they are, or added to 16-bit sums.
template <int kStrips>
BITVIT_INLINE void count_strips(const uint8_t* steps, const uint16_t* list, const uint8_t* lanes, size_t begin,
                                size_t end, const NibbleTable& table, uint8_t* bytes) {
  __m256i sums[kStrips];
  look_up<kStrips>(steps, list, lanes, begin, end, table, sums);
  BITVIT_UNROLL
  for (int v = 0; v < kStrips; ++v) _mm256_storeu_si256(reinterpret_cast<__m256i*>(bytes + 32 * v), sums[v]);
}

template <int kStrips>
BITVIT_INLINE void count_strips(const uint8_t* steps, const uint16_t* list, const uint8_t* lanes, size_t begin,
                                size_t end, const NibbleTable& table, uint16_t* counts) {
  __m256i sums[kStrips];
  look_up<kStrips>(steps, list, lanes, begin, end, table, sums);
  BITVIT_UNROLL
  for (int i = 0; i < 2 * kStrips; ++i) {
    const __m256i sum = sums[i / 2];
    const __m128i half = i % 2 == 0 ? _mm256_castsi256_si128(sum) : _mm256_extracti128_si256(sum, 1);
    __m256i* const out = reinterpret_cast<__m256i*>(counts + 16 * i);
    const __m256i wide = _mm256_cvtepu8_epi16(half);
    _mm256_storeu_si256(out, begin == 0 ? wide : _mm256_add_epi16(wide, _mm256_loadu_si256(out)));
  }
}

// Counts of one row in a block of n_strips strips, for the steps begin..end-1, or those that list[begin..end-1] names;
// at most kMaxByteSteps. As bytes, or as 16-bit numbers to which the next call for the row adds (begin > 0).
template <typename Count>
void count_row(const uint8_t* steps, const uint16_t* list, const uint8_t* lanes, size_t begin, size_t end,
               const NibbleTable& table, Count* counts, size_t n_strips) {
  switch (n_strips) {
#define BITVIT_CASE(n) \
  case n:              \
    return count_strips<n>(steps, list, lanes, begin, end, table, counts)
    BITVIT_CASE(1);
    BITVIT_CASE(2);
    BITVIT_CASE(3);
    BITVIT_CASE(4);
    BITVIT_CASE(5);
    BITVIT_CASE(6);
    BITVIT_CASE(7);
    BITVIT_CASE(8);
    BITVIT_CASE(9);
    BITVIT_CASE(10);
    BITVIT_CASE(11);
#undef BITVIT_CASE
    default:
      return count_strips<12>(steps, list, lanes, begin, end, table, counts);
  }
}

// Counts of one row with all lanes: bytes where all steps fit, else 16-bit numbers. `n`: the number of steps, or of
// entries of list.
template <typename Count>
BITVIT_INLINE void count_all(const uint8_t* steps, const uint16_t* list, size_t n, const uint8_t* lanes,
                             const Strips& strips, size_t n_steps, const NibbleTable& table, Count* counts) {
  for (size_t first = 0; first < strips.n_strips; first += strips.block_strips) {
    const size_t left = strips.n_strips - first;
    const size_t n_strips = left < strips.block_strips ? left : strips.block_strips;
    size_t begin = 0;
    do {
      const size_t end = n - begin < kMaxByteSteps ? n : begin + kMaxByteSteps;
      count_row(steps, list, lanes, begin, end, table, counts + first * kStrip, n_strips);
      begin = end;
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

// The numbers of the steps that are not 0, of n_words * 16 steps; returns how many. Up to 8 more entries are written.
BITVIT_INLINE size_t list_steps(const uint8_t* steps, size_t n_words, uint16_t* list) {
  size_t n = 0;
  for (size_t i = 0; i < n_words; ++i) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(steps + 16 * i));
    const uint32_t used = ~static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_setzero_si128())));
    for (size_t half = 0; half < 2; ++half) {
      const uint32_t set = (used >> (8 * half)) & 255;
      const __m128i positions = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kStepLists.positions[set]));
      const __m128i first = _mm_set1_epi16(static_cast<int16_t>(16 * i + 8 * half));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(list + n), _mm_add_epi16(_mm_cvtepu8_epi16(positions), first));
      n += static_cast<size_t>(popcount(set));
    }
  }
  return n;
}

}  // namespace
}  // namespace bitvit::avx2

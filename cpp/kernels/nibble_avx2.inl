// AVX2 popcounts by table lookup, 4 bits of a row against 4 bits of 64 lanes at a time.
//
// "Lanes" are the columns of the product (output channels, keys): lane l of a block of 64 owns one byte of every 64-byte step, and
// that byte holds the 4 bits of the step in its low half. For a row's 4 bits a, the table popcount(i ^ a) (or i & a), i < 16, is one
// of 16 constant vectors; vpshufb looks up all lanes at once. A lookup is at most 4, so 62 steps fit in a byte.
#include "kernels/popcount.h"

namespace bitvit::avx2 {
namespace {

constexpr size_t kLanes = 64;         // a block: two registers of bytes
constexpr size_t kMaxByteSteps = 62;  // 62 * 4 <= 255

struct alignas(64) NibbleTable {
  uint8_t rows[16][32];
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

// Bytes from one row of steps to the next: 32 more may be written.
constexpr size_t step_stride(size_t n_bits) { return ((n_bits + 63) / 64) * 16 + 32; }

constexpr size_t packed_lane_bytes(size_t n_bits, size_t n_lanes) {
  return (n_lanes + kLanes - 1) / kLanes * nibble_steps(n_bits) * kLanes;
}

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

// Bits of n_lanes rows (get_row(l): the words of lane l) -> blocks of 64 lanes, [steps][64] bytes each; missing lanes are 0.
template <typename GetRow>
BITVIT_INLINE void pack_lanes(GetRow get_row, size_t n_bits, size_t n_lanes, uint8_t* packed) {
  const size_t n_steps = nibble_steps(n_bits);
  for (size_t l = 0; l < n_lanes; l += kLanes, packed += n_steps * kLanes) {
    const size_t n = n_lanes - l < kLanes ? n_lanes - l : kLanes;
    if (n < kLanes) __builtin_memset(packed, 0, n_steps * kLanes);
    for (size_t i = 0; i < n; ++i) {
      const uint64_t* const row = get_row(l + i);
      uint64_t word = 0;
      for (size_t s = 0; s < n_steps; ++s, word >>= 4) {
        if (s % 16 == 0) word = row[s / 16];
        packed[s * kLanes + i] = static_cast<uint8_t>(word & 15);
      }
    }
  }
}

// counts[r][lane] for kRows rows (their steps `stride` apart) and one block of 64 lanes; counts are `counts_stride` apart.
template <int kRows>
BITVIT_INLINE void count_block(const uint8_t* steps, size_t stride, const uint8_t* lanes, size_t n_steps,
                               const NibbleTable& table, uint16_t* counts, size_t counts_stride) {
  for (size_t begin = 0; begin < n_steps; begin += kMaxByteSteps) {
    const size_t end = n_steps - begin < kMaxByteSteps ? n_steps : begin + kMaxByteSteps;
    __m256i sum[kRows][2];
    BITVIT_UNROLL
    for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    for (size_t s = begin; s < end; ++s) {
      const __m256i bits0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + s * kLanes));
      const __m256i bits1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + s * kLanes + 32));
      BITVIT_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const size_t half_offset = steps[static_cast<size_t>(r) * stride + s];
        const __m256i lookup = _mm256_load_si256(reinterpret_cast<const __m256i*>(table.rows[0] + 2 * half_offset));
        sum[r][0] = _mm256_add_epi8(sum[r][0], _mm256_shuffle_epi8(lookup, bits0));
        sum[r][1] = _mm256_add_epi8(sum[r][1], _mm256_shuffle_epi8(lookup, bits1));
      }
    }
    BITVIT_UNROLL
    for (int r = 0; r < kRows; ++r) {
      BITVIT_UNROLL
      for (int i = 0; i < 4; ++i) {
        const __m128i bytes = i % 2 == 0 ? _mm256_castsi256_si128(sum[r][i / 2]) : _mm256_extracti128_si256(sum[r][i / 2], 1);
        __m256i* const out = reinterpret_cast<__m256i*>(counts + static_cast<size_t>(r) * counts_stride + 16 * i);
        __m256i wide = _mm256_cvtepu8_epi16(bytes);
        if (begin != 0) wide = _mm256_add_epi16(wide, _mm256_loadu_si256(out));
        _mm256_storeu_si256(out, wide);
      }
    }
  }
}

// The same for any number of rows up to kMaxRows.
constexpr size_t kMaxRows = 4;

BITVIT_INLINE void count_rows(const uint8_t* steps, size_t stride, const uint8_t* lanes, size_t n_steps,
                              const NibbleTable& table, uint16_t* counts, size_t counts_stride, size_t n_rows) {
  switch (n_rows) {
    case 4:
      return count_block<4>(steps, stride, lanes, n_steps, table, counts, counts_stride);
    case 3:
      return count_block<3>(steps, stride, lanes, n_steps, table, counts, counts_stride);
    case 2:
      return count_block<2>(steps, stride, lanes, n_steps, table, counts, counts_stride);
    default:
      return count_block<1>(steps, stride, lanes, n_steps, table, counts, counts_stride);
  }
}

}  // namespace
}  // namespace bitvit::avx2

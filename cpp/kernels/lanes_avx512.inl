// AVX-512 popcounts: 16 lanes of 32 bits, VPOPCNTD, and a row's 32-bit words broadcast to all lanes.
//
// "Lanes" are the columns of the product (output channels, keys). Lanes are packed into blocks of 16, [n_words][16]
// 32-bit words, so that a block's words stay in registers while the rows stream past.
#include "kernels/part_ranks.inl"
#include "kernels/wide_avx512.h"

namespace bitvit::avx512 {
namespace {

constexpr size_t kLanes = 16;
constexpr size_t kMaxWords = 16;  // words of a block held in registers at a time

constexpr size_t half_words(size_t n_bits) { return (n_bits + 31) / 32; }

constexpr size_t packed_lane_bytes(size_t n_bits, size_t n_lanes) {
  return (n_lanes + kLanes - 1) / kLanes * half_words(n_bits) * kLanes * 4;
}

// Bits of n_lanes rows (get_row(l): the words of lane l) -> blocks of 16 lanes; missing lanes are 0. Sixteen words of
// sixteen rows at a time are transposed in registers.
template <typename GetRow>
BITVIT_INLINE void pack_lanes(GetRow get_row, size_t n_bits, size_t n_lanes, uint32_t* packed) {
  const size_t n_words = half_words(n_bits);
  for (size_t l = 0; l < n_lanes; l += kLanes) {
    for (size_t w = 0; w < n_words; w += kLanes) {
      const size_t n = n_words - w < kLanes ? n_words - w : kLanes;
      f32x16 block[kLanes] = {};
      for (size_t i = 0; i < kLanes && l + i < n_lanes; ++i) {
        const char* const row = reinterpret_cast<const char*>(get_row(l + i));
        block[i] = to_lanes((wide_f32)load_first_wide(row + 4 * w, n));
      }
      part_ranks<kLanes, 1>(block);
      for (size_t i = 0; i < n; ++i, packed += kLanes) __builtin_memcpy(packed, &block[i], sizeof(block[i]));
    }
  }
}

BITVIT_INLINE u32x16 broadcast_half_word(const char* row, size_t i) {
  uint32_t word;
  __builtin_memcpy(&word, row + 4 * i, sizeof(word));
  return broadcast_wide(word);
}

// For each row: done(r, sum) with sum = start(r) + sum of popcount(words[i] ^ row[i]) over kWords words.
template <size_t kWords, typename Start, typename Done>
BITVIT_INLINE void count_differing(const uint64_t* rows, size_t row_stride, size_t first_word, size_t n_rows,
                                   const uint32_t* lanes, Start start, Done done) {
  u32x16 words[kWords];
  BITVIT_UNROLL
  for (size_t i = 0; i < kWords; ++i) words[i] = load_wide(lanes + i * kLanes);
  for (size_t r = 0; r < n_rows; ++r) {
    const char* const row = reinterpret_cast<const char*>(rows + r * row_stride) + 4 * first_word;
    u32x16 sum = start(r), other = {};
    BITVIT_UNROLL
    for (size_t i = 0; i < kWords; ++i) {
      const u32x16 count = popcount_wide(words[i] ^ broadcast_half_word(row, i));
      if (i % 2 == 0) {
        sum += count;
      } else {
        other += count;
      }
    }
    done(r, sum + other);
  }
}

// kWords as a constant: calls f(WordCount<n_words>) for n_words in 1..kMaxWords.
template <size_t kValue>
struct WordCount {
  static constexpr size_t value = kValue;
};

template <typename F>
BITVIT_INLINE void with_word_count(size_t n_words, F f) {
  switch (n_words) {
    case 1:
      return f(WordCount<1>{});
    case 2:
      return f(WordCount<2>{});
    case 3:
      return f(WordCount<3>{});
    case 4:
      return f(WordCount<4>{});
    case 5:
      return f(WordCount<5>{});
    case 6:
      return f(WordCount<6>{});
    case 7:
      return f(WordCount<7>{});
    case 8:
      return f(WordCount<8>{});
    case 9:
      return f(WordCount<9>{});
    case 10:
      return f(WordCount<10>{});
    case 11:
      return f(WordCount<11>{});
    case 12:
      return f(WordCount<12>{});
    case 13:
      return f(WordCount<13>{});
    case 14:
      return f(WordCount<14>{});
    case 15:
      return f(WordCount<15>{});
    default:
      return f(WordCount<16>{});
  }
}

}  // namespace
}  // namespace bitvit::avx512

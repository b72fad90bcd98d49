// VPOPCNTD (kernels/lanes_avx512.inl): 16 outputs, up to 12 words (384 bits) of their weights in registers, rows
// streaming past. Longer inputs take several passes; the sums of a row wait in scratch between them.
//
// A carry of three words counts twice, so that three words take two population counts: with d = x ^ w,
//   popcount(d1) + popcount(d2) + popcount(d3) = popcount(d1 ^ d2 ^ d3) + 2 popcount(majority(d1, d2, d3)).
// d1 ^ ... ^ dn is (x1 ^ ... ^ xn) ^ (w1 ^ ... ^ wn): where words of x and w are replaced by the xor of all words of
// the pass up to them, each such sum is one operation, and the majority one of three of these sums. Two further words
// of a pass then cost 5 operations instead of 6. It pays for enough words and outputs.
#pragma once

#include "kernels/binary_gemm/binary_gemm.h"
#include "kernels/lanes_avx512.inl"

namespace bitvit::avx512 {
namespace {

constexpr size_t kMinPrefixWords = 6, kMinPrefixOutputs = 64;

bool has_prefixes(size_t n_inputs, size_t n_outputs) {
  return half_words(n_inputs) >= kMinPrefixWords && n_outputs >= kMinPrefixOutputs;
}

size_t packed_bytes(size_t n_inputs, size_t n_outputs) { return packed_lane_bytes(n_inputs, n_outputs); }

void pack(const uint64_t* weight, size_t n_inputs, size_t n_outputs, void* packed) {
  const size_t n_words = (n_inputs + 63) / 64, n_half_words = half_words(n_inputs);
  uint32_t* const lanes = static_cast<uint32_t*>(packed);
  pack_lanes([=](size_t o) { return weight + o * n_words; }, n_inputs, n_outputs, lanes);
  if (!has_prefixes(n_inputs, n_outputs)) return;
  const size_t n_blocks = (n_outputs + kLanes - 1) / kLanes;
  for (size_t row = 0; row < n_blocks * n_half_words; ++row) {
    if (row % n_half_words % kMaxWords == 0) continue;
    for (size_t i = 0; i < kLanes; ++i) lanes[row * kLanes + i] ^= lanes[(row - 1) * kLanes + i];
  }
}

// Sums of all rows where there are several passes, then their words as prefixes.
size_t sum_bytes(const BinaryGemmShape& shape) {
  return half_words(shape.n_inputs) <= kMaxWords ? 0 : shape.n_rows * kLanes * 4;
}

size_t scratch_bytes(const BinaryGemmShape& shape) {
  const bool is_prefixed = has_prefixes(shape.n_inputs, shape.n_outputs);
  return sum_bytes(shape) + (is_prefixed ? (shape.n_rows * half_words(shape.n_inputs) + kLanes) * 4 : 0);
}

// Rows of words, `stride` 32-bit words apart.
struct WordRows {
  const char* words;
  size_t stride;
};

WordRows prepare_rows(const uint64_t* x, const BinaryGemmShape& shape, void* scratch) {
  const size_t n_words = half_words(shape.n_inputs), stride = (shape.n_inputs + 63) / 64 * 2;
  const char* const words = reinterpret_cast<const char*>(x);
  if (!has_prefixes(shape.n_inputs, shape.n_outputs)) return {words, stride};
  uint32_t* const prefixes = reinterpret_cast<uint32_t*>(static_cast<char*>(scratch) + sum_bytes(shape));
  for (size_t r = 0; r < shape.n_rows; ++r) {
    for (size_t w = 0; w < n_words; w += kMaxWords) {
      const size_t n = n_words - w < kMaxWords ? n_words - w : kMaxWords;
      // What is written after the n words is overwritten by the next ones.
      store_wide(prefixes + r * n_words + w, prefix_xor_wide(load_first_wide(words + 4 * (r * stride + w), n)));
    }
  }
  return {reinterpret_cast<const char*>(prefixes), n_words};
}

// count_differing for prefixes: done(r, start(r) + the number of differing bits).
template <size_t kWords, typename Start, typename Done>
BITVIT_INLINE void count_by_prefixes(const WordRows& rows, size_t first_word, size_t n_rows, const uint32_t* lanes,
                                     Start start, Done done) {
  u32x16 words[kWords];
  BITVIT_UNROLL
  for (size_t i = 0; i < kWords; ++i) words[i] = load_wide(lanes + i * kLanes);
  for (size_t r = 0; r < n_rows; ++r) {
    const char* const row = rows.words + 4 * (r * rows.stride + first_word);
    const auto prefix = [&](size_t i) __attribute__((always_inline)) { return words[i] ^ broadcast_half_word(row, i); };
    u32x16 odd = prefix(0), sum = start(r), carries = {};
    BITVIT_UNROLL
    for (size_t i = 1; i + 1 < kWords; i += 2) {
      const u32x16 between = prefix(i), after = prefix(i + 1);
      carries += popcount_wide(select_inverted_wide(between, after, odd));  // majority(odd, d, next d)
      odd = after;
    }
    if constexpr (kWords % 2 == 0) sum += popcount_wide(prefix(kWords - 1) ^ odd);
    sum += popcount_wide(odd);
    done(r, sum + (carries + carries));
  }
}

// Calls epilogue(row, sums of 16 outputs) for each row, outputs o..o+15.
template <typename Epilogue>
BITVIT_INLINE void multiply_block(const WordRows& rows, const uint32_t* lanes, const BinaryGemmShape& shape,
                                  int32_t* sums, Epilogue epilogue) {
  const size_t n_words = half_words(shape.n_inputs);
  const bool is_prefixed = has_prefixes(shape.n_inputs, shape.n_outputs);
  const auto count = [&](auto n, size_t first_word, auto start, auto done) __attribute__((always_inline)) {
    constexpr size_t kWords = decltype(n)::value;
    const uint32_t* const words = lanes + first_word * kLanes;
    if (is_prefixed) {
      count_by_prefixes<kWords>(rows, first_word, shape.n_rows, words, start, done);
    } else {
      count_differing<kWords>(reinterpret_cast<const uint64_t*>(rows.words), rows.stride / 2, first_word, shape.n_rows,
                              words, start, done);
    }
  };
  const auto keep = [=](size_t r, const u32x16& sum)
                        __attribute__((always_inline)) { store_wide(sums + r * kLanes, sum); };
  const auto zero = [](size_t) __attribute__((always_inline)) { return u32x16{}; };
  const auto kept = [=](size_t r) __attribute__((always_inline)) { return load_wide(sums + r * kLanes); };
  if (n_words <= kMaxWords) {
    with_word_count(n_words, [&](auto n) __attribute__((always_inline)) { count(n, 0, zero, epilogue); });
    return;
  }
  size_t w = 0;
  count(WordCount<kMaxWords>{}, w, zero, keep);
  for (w += kMaxWords; n_words - w > kMaxWords; w += kMaxWords) count(WordCount<kMaxWords>{}, w, kept, keep);
  with_word_count(n_words - w, [&](auto n) __attribute__((always_inline)) { count(n, w, kept, epilogue); });
}

// Of signed integers.
BITVIT_INLINE wide_f32 to_floats(const u32x16& x) { return __builtin_convertvector((i32x16)x, wide_f32); }

}  // namespace
}  // namespace bitvit::avx512

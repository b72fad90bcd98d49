// AVX2 has no popcount of vectors: two table lookups of 4 bits each, then bytes are added. Widening the byte sums,
// which a real product needs every 31 steps, is left out.
#include "kernels/popcount_peak/popcount_peak.h"

#include "kernels/vector.h"

namespace bitvit::avx2 {
namespace {

size_t run(size_t n_rounds) {
  constexpr int kSums = 4;
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                         0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low_half = _mm256_set1_epi8(15);
  __m256i words[kSums], sums[kSums], x = _mm256_set1_epi8(static_cast<char>(n_rounds));
  BITVIT_UNROLL
  for (int i = 0; i < kSums; ++i) {
    words[i] = _mm256_set1_epi32(static_cast<int>(n_rounds) * (i + 3));
    sums[i] = _mm256_setzero_si256();
  }
  for (size_t r = 0; r < n_rounds; ++r) {
    BITVIT_UNROLL
    for (int i = 0; i < kSums; ++i) {
      const __m256i bits = _mm256_xor_si256(words[i], x);
      const __m256i low = _mm256_and_si256(bits, low_half);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(bits, 4), low_half);
      const __m256i count = _mm256_add_epi8(_mm256_shuffle_epi8(table, low), _mm256_shuffle_epi8(table, high));
      sums[i] = _mm256_add_epi8(sums[i], count);
    }
    x = _mm256_add_epi8(x, words[0]);
  }
  const __m256i sum = _mm256_xor_si256(_mm256_xor_si256(sums[0], sums[1]), _mm256_xor_si256(sums[2], sums[3]));
  volatile int32_t sink = _mm256_extract_epi32(sum, 0);
  (void)sink;
  return n_rounds * kSums * 256;
}

}  // namespace

const PopcountPeakKernels& popcount_peak_kernels() {
  static constexpr PopcountPeakKernels kKernels = {run};
  return kKernels;
}

}  // namespace bitvit::avx2

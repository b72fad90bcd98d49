// vpopcntd on 512 bits, twelve words of weights in registers.
#include "kernels/popcount_peak/popcount_peak.h"

#include "kernels/wide_avx512.h"

namespace bitvit::avx512 {
namespace {

size_t run(size_t n_rounds) {
  constexpr size_t kWords = 12;
  u32x16 words[kWords], sums[4] = {}, x = broadcast_wide(1);
  BITVIT_UNROLL
  for (size_t i = 0; i < kWords; ++i) words[i] = broadcast_wide(static_cast<uint32_t>(n_rounds + i));
  for (size_t r = 0; r < n_rounds; ++r) {
    BITVIT_UNROLL
    for (size_t i = 0; i < kWords; ++i) sums[i % 4] += popcount_wide(words[i] ^ x);
    x += words[0];
  }
  volatile uint32_t sink = (sums[0] ^ sums[1] ^ sums[2] ^ sums[3])[0];
  (void)sink;
  return n_rounds * kWords * 512;
}

}  // namespace

const PopcountPeakKernels& popcount_peak_kernels() {
  static constexpr PopcountPeakKernels kKernels = {run};
  return kKernels;
}

}  // namespace bitvit::avx512

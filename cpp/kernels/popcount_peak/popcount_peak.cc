// 64 bits a step, four independent sums.
#include "kernels/popcount_peak/popcount_peak.h"

#include "kernels/popcount.h"

namespace bitvit::BITVIT_ISA {
namespace {

size_t run(size_t n_rounds) {
  constexpr size_t kSums = 4;
  uint64_t words[kSums], x = n_rounds;
  int32_t sums[kSums] = {};
  BITVIT_UNROLL
  for (size_t i = 0; i < kSums; ++i) words[i] = n_rounds * (i + 3);
  for (size_t r = 0; r < n_rounds; ++r) {
    BITVIT_UNROLL
    for (size_t i = 0; i < kSums; ++i) sums[i] += popcount(words[i] ^ x);
    x += words[0];
  }
  volatile int32_t sink = sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
  (void)sink;
  return n_rounds * kSums * 64;
}

}  // namespace

const PopcountPeakKernels& popcount_peak_kernels() {
  static constexpr PopcountPeakKernels kKernels = {run};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

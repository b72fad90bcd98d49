// xor, count and add of bytes; widening the sums, which a real product needs every 31 steps, is left out.
#include "kernels/bytes128.inl"
#include "kernels/popcount_peak/popcount_peak.h"

namespace bitvit::BITVIT_ISA {
namespace {

size_t run(size_t n_rounds) {
  constexpr size_t kSums = 8;
  u8x16 words[kSums], sums[kSums], x = u8x16{} + static_cast<uint8_t>(n_rounds);
  BITVIT_UNROLL
  for (size_t i = 0; i < kSums; ++i) {
    words[i] = u8x16{} + static_cast<uint8_t>(n_rounds * (i + 3));
    sums[i] = u8x16{};
  }
  for (size_t r = 0; r < n_rounds; ++r) {
    BITVIT_UNROLL
    for (size_t i = 0; i < kSums; ++i) sums[i] += popcount_bytes(words[i] ^ x);
    x += words[0];
  }
  u8x16 all = {};
  BITVIT_UNROLL
  for (size_t i = 0; i < kSums; ++i) all ^= sums[i];
  volatile uint32_t sink = all[0];
  (void)sink;
  return n_rounds * kSums * 128;
}

}  // namespace

const PopcountPeakKernels& popcount_peak_kernels() {
  static constexpr PopcountPeakKernels kKernels = {run};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

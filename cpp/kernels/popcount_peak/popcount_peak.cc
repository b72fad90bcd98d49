#include "kernels/popcount_peak/popcount_peak.h"

namespace bitvit {

size_t RunPopcountPeak(Isa isa, size_t n_rounds) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx2) return avx2::popcount_peak(n_rounds);
  if (isa == Isa::kAvx512) return avx512::popcount_peak(n_rounds);
#endif
  (void)isa;
  return scalar::popcount_peak(n_rounds);
}

}  // namespace bitvit

// xor + popcount + add on registers, without loads, stores or epilogue: what a binary product that counts bits the
// plain way cannot exceed. A yardstick for benchmarks (BinaryGemmKernels::register_peak is the one of the kernels' own
// inner loop); no kernel uses it.
#pragma once

#include <cstddef>

#include "base/isa.h"

namespace bitvit {

// Runs `n_rounds` rounds and returns how many bit products they stand for. The instruction set must be available.
size_t RunPopcountPeak(Isa isa, size_t n_rounds);

namespace scalar {
size_t popcount_peak(size_t n_rounds);
}
namespace avx2 {
size_t popcount_peak(size_t n_rounds);
}
namespace avx512 {
size_t popcount_peak(size_t n_rounds);
}

}  // namespace bitvit

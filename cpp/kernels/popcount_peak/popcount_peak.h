// xor + popcount + add on registers, without loads, stores or epilogue: what a binary product that counts bits the
// plain way cannot exceed. A yardstick for benchmarks (BinaryGemmKernels::register_peak is the one of the kernels' own
// inner loop).
#pragma once

#include <cstddef>

namespace bitvit {

struct PopcountPeakKernels {
  // Runs `n_rounds` rounds and returns how many bit products they stand for.
  size_t (*run)(size_t n_rounds);
};

}  // namespace bitvit

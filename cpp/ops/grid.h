// What the operators on grids have in common: the attribute `grid` and the limits of docs/format.md, "Grids".
#pragma once

#include "ops/spec.h"

namespace bitvit {

inline constexpr size_t kMaxGridKernel = 63;  // also of strides, factors, patches, dilations and taps
inline constexpr size_t kMaxGridTaps = 64;

struct Grid {
  size_t height, width;
};

// The attribute `grid`, which must have one cell for each row.
Grid ReadGrid(SpecReader& reader, size_t n_rows);

}  // namespace bitvit

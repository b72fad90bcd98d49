// Resizing of 8-bit images, equal to Pillow's to the bit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "image/filters.h"
#include "image/pixels.h"

namespace bitvit {

// The window of the photo, resized to rows.n_out x columns.n_out pixels, that `rows` and `columns` name. An axis whose
// size stays is copied, else each output is a rounded sum of inputs (MakeAxisWeights): columns first and then rows, but
// rows first where their number falls, and by more than twice as much as that of the columns. rows.n_in and
// columns.n_in count the pixels from (top, left) of the photo on. `out`: rows.count x columns.count x channels bytes.
// Error: OutOfMemory.
Status Resize(const Pixels& photo, size_t top, size_t left, size_t channels, Interpolation interpolation,
              const AxisWindow& rows, const AxisWindow& columns, uint8_t* out);

}  // namespace bitvit

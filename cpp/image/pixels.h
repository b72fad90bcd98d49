// Pixels of a photo in memory: 8 bits a channel, channels interleaved.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace bitvit {

// Grey, RGB, or RGB and a fourth channel (opacity). The steps, in bytes, may be negative: a turned photo is the same
// memory seen in another order.
struct Pixels {
  const uint8_t* first;  // of the upper left pixel
  size_t height, width, channels;
  std::ptrdiff_t row_step, column_step;
};

inline constexpr size_t kMaxPhotoSide = size_t{1} << 24;

// Rows without gaps between them. Errors (Input): a size of 0 or more than 2^24, or other than 1, 3 or 4 channels.
Result<Pixels> PackedPixels(const uint8_t* data, size_t height, size_t width, size_t channels);

// The photo upright, given the number that EXIF's tag Orientation has (1 to 8; 1 is upright). Error (Input): another
// number.
Result<Pixels> Upright(const Pixels& photo, int orientation);

// Row y, columns x .. x + n - 1, in the network's number of channels, as Pillow converts them: grey is
// (19595 R + 38470 G + 7471 B + 2^15) >> 16; opacity blends with white, but stays where the network has four channels;
// a missing fourth channel is 255.
void ReadRow(const Pixels& photo, size_t y, size_t x, size_t n, size_t channels, uint8_t* row);

// The same without copying, where the row lies in memory as it is needed; else null.
const uint8_t* RowInPlace(const Pixels& photo, size_t y, size_t x, size_t channels);

}  // namespace bitvit

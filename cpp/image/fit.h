// From a photo of any size to the bytes that a network sees (docs/format.md, Preprocessing).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "image/filters.h"
#include "image/pixels.h"

namespace bitvit {

struct Preprocessing {
  size_t height = 0, width = 0, channels = 0;
  bool stretch = false;  // else the shorter side to resize_size, then the centre
  size_t resize_size = 0;
  Interpolation interpolation = Interpolation::kBicubic;
  std::vector<double> mean, std;                     // one for each channel; the Program has them built in
  std::optional<std::array<double, 2>> value_range;  // of pixels deeper than 8 bits
};

// The photo, upright, in the network's size and channels: `out` is u8 [height, width, channels]. Sizes are rounded as
// in torchvision's Resize and CenterCrop. Of a photo more than four times as long as wide only the middle is resized
// before it is cut, so that one row of pixels does not become gigabytes. Error: OutOfMemory.
Status FitImage(const Pixels& photo, const Preprocessing& preprocessing, uint8_t* out);

}  // namespace bitvit

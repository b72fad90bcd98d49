#include "image/fit.h"

#include <algorithm>

#include "image/resize.h"

namespace bitvit {
namespace {

constexpr size_t kMaxAspect = 4;  // beyond this the ends of the long side cannot reach the centre

// What is cut off each end of a side before it is resized: the centre needs the length of the shorter side, and the
// filters a few pixels more.
size_t FarEnd(size_t side, size_t shorter) {
  const size_t kept = kMaxAspect * shorter + 8;
  return side > kept ? (side - kept) / 2 : 0;
}

// Half of what is left over, halves to even.
size_t Margin(size_t size, size_t cut) {
  const size_t rest = size - cut;
  return rest / 2 + (rest % 2 == 1 && rest / 2 % 2 == 1 ? 1 : 0);
}

}  // namespace

Status FitImage(const Pixels& photo, const Preprocessing& preprocessing, uint8_t* out) {
  const size_t height = preprocessing.height, width = preprocessing.width;
  if (preprocessing.stretch) {
    return Resize(photo, 0, 0, preprocessing.channels, preprocessing.interpolation, {photo.height, height, 0, height},
                  {photo.width, width, 0, width}, out);
  }
  const size_t shorter = std::min(photo.height, photo.width);
  const size_t top = FarEnd(photo.height, shorter), left = FarEnd(photo.width, shorter);
  const size_t used_height = photo.height - 2 * top, used_width = photo.width - 2 * left;
  const auto resized = [&](size_t side) {
    return static_cast<size_t>(uint64_t{preprocessing.resize_size} * side / shorter);
  };
  const size_t new_height = resized(used_height), new_width = resized(used_width);
  return Resize(photo, top, left, preprocessing.channels, preprocessing.interpolation,
                {used_height, new_height, Margin(new_height, height), height},
                {used_width, new_width, Margin(new_width, width), width}, out);
}

}  // namespace bitvit

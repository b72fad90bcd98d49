#include "image/pixels.h"

#include <cstring>
#include <utility>

namespace bitvit {
namespace {

struct Color {
  uint8_t red, green, blue, fourth;
};

Color ColorAt(const uint8_t* pixel, size_t channels) {
  if (channels == 1) return {pixel[0], pixel[0], pixel[0], 255};
  return {pixel[0], pixel[1], pixel[2], channels == 4 ? pixel[3] : uint8_t{255}};
}

// round((opacity x + (255 - opacity) 255) / 255), as Pillow's alpha_composite computes it.
uint8_t OverWhite(uint32_t x, uint32_t opacity) {
  if (opacity == 0) return 255;
  const uint32_t a = (x * opacity + 255 * (255 - opacity) + 128) << 7;
  return static_cast<uint8_t>((((a >> 8) + a) >> 8) >> 7);
}

void Write(const Color& color, size_t channels, uint8_t* pixel) {
  if (channels == 1) {
    pixel[0] = static_cast<uint8_t>((color.red * 19595u + color.green * 38470u + color.blue * 7471u + 0x8000u) >> 16);
    return;
  }
  pixel[0] = color.red;
  pixel[1] = color.green;
  pixel[2] = color.blue;
  if (channels == 4) pixel[3] = color.fourth;
}

const uint8_t* At(const Pixels& photo, size_t y, size_t x) {
  return photo.first + static_cast<std::ptrdiff_t>(y) * photo.row_step +
         static_cast<std::ptrdiff_t>(x) * photo.column_step;
}

}  // namespace

Result<Pixels> PackedPixels(const uint8_t* data, size_t height, size_t width, size_t channels) {
  if (data == nullptr || height == 0 || width == 0 || height > kMaxPhotoSide || width > kMaxPhotoSide ||
      (channels != 1 && channels != 3 && channels != 4)) {
    return Error{ErrorCode::kInput,
                 "an image must have 1 to 16777216 rows and columns, and 1, 3 or 4 channels; found " +
                     std::to_string(height) + " x " + std::to_string(width) + " with " + std::to_string(channels)};
  }
  const auto column_step = static_cast<std::ptrdiff_t>(channels);
  return Pixels{data, height, width, channels, static_cast<std::ptrdiff_t>(width) * column_step, column_step};
}

Result<Pixels> Upright(const Pixels& photo, int orientation) {
  if (orientation < 1 || orientation > 8) {
    return Error{ErrorCode::kInput, "orientation " + std::to_string(orientation) + " is not one of EXIF's, 1 to 8"};
  }
  // What is mirrored as the photo is stored; 5 to 8 are then transposed.
  constexpr bool kMirrorColumns[] = {false, true, true, false, false, false, true, true};
  constexpr bool kMirrorRows[] = {false, false, true, true, false, true, true, false};
  Pixels result = photo;
  if (kMirrorColumns[orientation - 1]) {
    result.first = At(result, 0, result.width - 1);
    result.column_step = -result.column_step;
  }
  if (kMirrorRows[orientation - 1]) {
    result.first = At(result, result.height - 1, 0);
    result.row_step = -result.row_step;
  }
  if (orientation >= 5) {
    std::swap(result.height, result.width);
    std::swap(result.row_step, result.column_step);
  }
  return result;
}

void ReadRow(const Pixels& photo, size_t y, size_t x, size_t n, size_t channels, uint8_t* row) {
  const uint8_t* pixel = At(photo, y, x);
  const bool is_same = photo.channels == channels;
  const bool blends = photo.channels == 4 && channels != 4;
  for (size_t i = 0; i < n; ++i, pixel += photo.column_step, row += channels) {
    if (is_same) {
      std::memcpy(row, pixel, channels);
      continue;
    }
    Color color = ColorAt(pixel, photo.channels);
    if (blends) {
      color = {OverWhite(color.red, color.fourth), OverWhite(color.green, color.fourth),
               OverWhite(color.blue, color.fourth), 255};
    }
    Write(color, channels, row);
  }
}

const uint8_t* RowInPlace(const Pixels& photo, size_t y, size_t x, size_t channels) {
  if (photo.channels != channels || photo.column_step != static_cast<std::ptrdiff_t>(channels)) return nullptr;
  return At(photo, y, x);
}

}  // namespace bitvit

#include "bindings/image.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <new>
#include <string>
#include <utility>

#include "base/text.h"
#include "bindings/errors.h"
#include "image/fit.h"
#include "image/resize.h"
#include "program/preprocessing.h"

namespace nb = nanobind;

namespace bitvit {
namespace {

using PixelArray = nb::ndarray<const uint8_t, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

Pixels ToPixels(const PixelArray& array, int orientation) {
  const Pixels pixels = Take(PackedPixels(array.data(), array.shape(0), array.shape(1), array.shape(2)));
  return Take(Upright(pixels, orientation));
}

Interpolation ToInterpolation(const std::string& name) {
  const auto interpolation = InterpolationNamed(name);
  if (!interpolation.has_value()) {
    throw PythonError({ErrorCode::kPreprocessing, "unknown interpolation " + Quoted(name)});
  }
  return *interpolation;
}

// u8 [height, width, channels] that `fill` writes without Python's lock.
template <typename Fill>
nb::object MakeImage(size_t height, size_t width, size_t channels, Fill fill) {
  auto* const data = new (std::nothrow) uint8_t[height * width * channels];
  if (data == nullptr) throw PythonError({ErrorCode::kOutOfMemory, "there is not enough memory to resize the image"});
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<uint8_t*>(p); });
  {
    const nb::gil_scoped_release release;
    Check(fill(data));
  }
  return nb::cast(nb::ndarray<nb::numpy, uint8_t>(data, {height, width, channels}, owner));
}

void CheckSides(size_t height, size_t width) {
  constexpr size_t kMostSide = size_t{1} << 15;
  if (height >= 1 && width >= 1 && height <= kMostSide && width <= kMostSide) return;
  throw PythonError({ErrorCode::kInput, "cannot resize to " + std::to_string(height) + " x " + std::to_string(width)});
}

nb::object ResizeImage(const PixelArray& array, std::pair<size_t, size_t> size, const std::string& interpolation) {
  const Pixels photo = ToPixels(array, 1);
  const auto [height, width] = size;
  CheckSides(height, width);
  const AxisWindow rows = {photo.height, height, 0, height}, columns = {photo.width, width, 0, width};
  const Interpolation filter = ToInterpolation(interpolation);
  return MakeImage(height, width, photo.channels,
                   [&](uint8_t* out) { return Resize(photo, 0, 0, photo.channels, filter, rows, columns, out); });
}

nb::object Fit(const PixelArray& array, std::pair<size_t, size_t> image_size, size_t channels, const std::string& fit,
               size_t resize_size, const std::string& interpolation, int orientation) {
  const Pixels photo = ToPixels(array, orientation);
  Preprocessing preprocessing;
  preprocessing.height = image_size.first;
  preprocessing.width = image_size.second;
  preprocessing.channels = channels;
  preprocessing.stretch = fit == "stretch";
  preprocessing.resize_size = resize_size;
  preprocessing.interpolation = ToInterpolation(interpolation);
  CheckSides(image_size.first, image_size.second);
  if (!preprocessing.stretch) {
    CheckSides(resize_size, resize_size);
    if (resize_size < image_size.first || resize_size < image_size.second) {
      throw PythonError({ErrorCode::kPreprocessing, "resize_size must be at least the larger side of image_size"});
    }
  }
  if (channels != 1 && channels != 3 && channels != 4) {
    throw PythonError({ErrorCode::kPreprocessing, "channels must be 1, 3 or 4"});
  }
  return MakeImage(image_size.first, image_size.second, channels,
                   [&](uint8_t* out) { return FitImage(photo, preprocessing, out); });
}

}  // namespace

void BindImage(nb::module_& m) {
  m.def("resize_image", &ResizeImage, nb::arg("pixels").noconvert(), nb::arg("size"), nb::arg("interpolation"),
        "uint8 [H, W, C] resized to size = (height, width), equal to Pillow's resize to the bit.");
  m.def("fit_image", &Fit, nb::arg("pixels").noconvert(), nb::arg("image_size"), nb::arg("channels"), nb::arg("fit"),
        nb::arg("resize_size"), nb::arg("interpolation"), nb::arg("orientation") = 1,
        "uint8 [H, W, C] brought into the size and the channels of a network's input (docs/format.md, Preprocessing); "
        "`orientation` is the number of EXIF.");
  m.def(
      "check_preprocessing", [](const std::string& text) { Take(ReadPreprocessing(text)); }, nb::arg("text"),
      "Refuses the JSON of a preprocessing that violates a rule of docs/format.md.");
}

}  // namespace bitvit

// How an axis of an image is resized: for each output the inputs that it is made of, and their weights. Exactly
// Pillow's, so that a network sees the same bytes wherever it runs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/result.h"

namespace bitvit {

// X(name, id): the names of docs/format.md.
#define BITVIT_INTERPOLATIONS(X) \
  X(nearest, kNearest)           \
  X(box, kBox)                   \
  X(bilinear, kBilinear)         \
  X(bicubic, kBicubic)           \
  X(lanczos, kLanczos)

enum class Interpolation {
#define BITVIT_INTERPOLATION(name, id) id,
  BITVIT_INTERPOLATIONS(BITVIT_INTERPOLATION)
#undef BITVIT_INTERPOLATION
};

std::optional<Interpolation> InterpolationNamed(const std::string& name);

// Part of a resized axis: outputs first .. first + count - 1 of `n_out` that n_in inputs are resized to.
struct AxisWindow {
  size_t n_in, n_out, first, count;
};

// Weights are integers in units of 2^-22: an output is the sum of weight * input + 2^21, shifted right by 22 bits and
// limited to 0 .. 255.
inline constexpr int kWeightBits = 22;

// The inputs starts[i] .. starts[i] + counts[i] - 1, with weights + i * stride, make output first + i.
struct AxisWeights {
  AlignedBuffer buffer;  // holds all of it
  const uint32_t *starts, *counts;
  const int32_t* weights;
  size_t stride;
};

// For every interpolation but nearest. With s = max(n_in / n_out, 1) and the centre c = (o + 1/2) n_in / n_out of
// output o, input i has the weight filter((i + 1/2 - c) / s), divided by the sum of all weights of the output, as
// binary64, and rounded (halves away from 0). Error: OutOfMemory.
Result<AxisWeights> MakeAxisWeights(Interpolation interpolation, const AxisWindow& window);

// Nearest: the input of each output. Like Pillow it adds up steps, so rounding may lead beyond the last input: n_in
// then, and the output is 0. Error: OutOfMemory.
Result<AlignedBuffer> MakeNearestInputs(const AxisWindow& window);

}  // namespace bitvit

// What a file may ask for (docs/format.md, Limits): together at most about 1 GB of memory and some seconds of work on
// one image. Real networks stay far below.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit {

inline constexpr uint64_t kMaxFileBytes = uint64_t{1} << 28;
inline constexpr uint64_t kMaxHeaderBytes = uint64_t{1} << 23;
inline constexpr size_t kMaxTensors = size_t{1} << 16;

// Values and keys of a JSON text.
inline constexpr size_t kMaxHeaderValues = size_t{1} << 20;
inline constexpr size_t kMaxProgramValues = size_t{1} << 20;
inline constexpr size_t kMaxLabelsValues = size_t{1} << 17;
inline constexpr size_t kMaxProvenanceValues = size_t{1} << 16;
inline constexpr size_t kMaxPreprocessingValues = size_t{1} << 8;

inline constexpr size_t kMaxProgramOperators = size_t{1} << 14;
inline constexpr size_t kMaxProgramOperands = size_t{1} << 17;  // inputs and outputs of all operators
inline constexpr size_t kMaxImageSide = size_t{1} << 12;
inline constexpr size_t kMaxResizeFactor = 4;  // resize_size over the larger side of image_size

// The fuzzer (cpp/fuzz) has the limits on sums so low that a run takes about a millisecond.
#if defined(BITVIT_SMALL_LIMITS)
inline constexpr unsigned kSmaller = 10;
#else
inline constexpr unsigned kSmaller = 0;
#endif

// Sums over all operators.
inline constexpr uint64_t kMaxParameterBytes = uint64_t{1} << (28 - kSmaller);  // laid out for the kernels
inline constexpr uint64_t kMaxWork = uint64_t{1} << (33 - kSmaller);  // in float operations, or 64 binary multiply-adds

// Of the values alive at one time.
inline constexpr uint64_t kMaxLiveBytes = uint64_t{1} << (29 - kSmaller);

}  // namespace bitvit

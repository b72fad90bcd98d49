// acc[n][o] = sum over k of x[n][k] * w[o][k]: unsigned bytes times signed bytes, exact in int32 for K <=
// kByteGemmMaxInputs.
//
// Rows of x have `x_stride` bytes, at least K rounded up to a multiple of 4, zero beyond K. Rows of acc have O rounded
// up to a multiple of 16 elements; what lies beyond O is 0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit {

inline constexpr size_t kByteGemmMaxInputs = 65536;  // 65536 * 255 * 128 < 2^31

struct ByteGemmKernels {
  size_t (*packed_bytes)(size_t n_inputs, size_t n_outputs);
  // weight: [O][K]. Writes all packed_bytes.
  void (*pack)(const int8_t* weight, size_t n_inputs, size_t n_outputs, void* packed);
  void (*multiply)(const uint8_t* x, size_t x_stride, const void* packed, int32_t* acc, size_t n_rows, size_t n_inputs,
                   size_t n_outputs);
};

}  // namespace bitvit

// Binary matrix products: p[n][o] = popcount(x[n] ^ w[o]) over K bits, followed by one of two epilogues.
//
//   linear:     z = offset[o] + factor * p,  y = f32(z) * scale[o] + bias[o]
//               sign input: offset = K, factor = -2 (z = K - 2 p)
//               mask input: offset = -neg(w[o]), factor = 1 (z = p - neg)
//   threshold:  bit = (p - low[o] <= range[o] as unsigned 16-bit numbers) xor flip[o]
//               never inside: low = 0xffff, range = 0
//
// x and the weights given to `pack` are rows of BitWords(K) 64-bit words with padding bits 0. Parameters are padded to
// a multiple of kBinaryGemmBlock outputs (scale, bias, offset, flip with 0; low, range with "never"). Rows of y are
// y_stride >= O floats apart; rows of bits have BitWords(O) words, padding bits 0. 16-bit sums limit K to
// kBinaryGemmMaxInputs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bitvit {

inline constexpr size_t kBinaryGemmMaxInputs = 32767;
inline constexpr size_t kBinaryGemmBlock = 64;

struct BinaryLinearParameters {
  const int32_t* offset;
  int32_t factor;  // -2 or 1
  const float* scale;
  const float* bias;
};

struct BinaryThresholdParameters {
  const uint16_t* low;
  const uint16_t* range;
  const uint64_t* flip;  // bits
};

struct BinaryGemmShape {
  size_t n_rows, n_inputs, n_outputs;
};

// A product of sign inputs with what follows it in the MLPs of pyramids: `group` outputs for each channel of `other`.
//
//   v[n][o] = rprelu(y[n][o] + other[n][o mod other_width])          y: `linear`;  rprelu: kernels/pointwise
//   bits[n][o] = v[n][o] < threshold[o]
//   mean[n][m] = (v[n][m group] + v[n][m group + 1] + ...) / group
//
// Neither y nor v is ever written. Weights and all parameters are in an order in which means need no shuffling.
struct BinaryExpansionParameters {
  BinaryLinearParameters product;
  // offset * scale is exact for all outputs, and no bias is -0: then offset * scale - p * (2 * scale), rounded once,
  // will do for z * scale.
  bool is_one_step;
  const float *before, *slope, *after, *threshold;
  size_t other_width, group;
};

// Only for some shapes; `fits` is nullptr where an instruction set has none.
struct BinaryExpansionKernels {
  bool (*fits)(const BinaryGemmShape& shape, size_t other_width, size_t group);
  // The output whose weights and parameters have that place.
  size_t (*output_at)(size_t place, size_t group);
  // What `pack` made -> the same in that order.
  void (*reorder)(const void* packed, const BinaryGemmShape& shape, size_t group, void* reordered);
  size_t (*scratch_bytes)(const BinaryGemmShape& shape, size_t other_width, size_t group);
  void (*run)(const uint64_t* x, const void* reordered, const BinaryExpansionParameters& parameters, const float* other,
              uint64_t* bits, float* mean, const BinaryGemmShape& shape, void* scratch);
};

struct BinaryGemmKernels {
  size_t (*packed_bytes)(size_t n_inputs, size_t n_outputs);
  // Writes all packed_bytes.
  void (*pack)(const uint64_t* weight, size_t n_inputs, size_t n_outputs, void* packed);
  // Scratch, aligned to 64 bytes, that one call needs.
  size_t (*scratch_bytes)(const BinaryGemmShape& shape);
  // Where `other` is not null, its rows, which are as far apart as those of y and may be them, are added.
  void (*linear)(const uint64_t* x, const void* packed, const BinaryLinearParameters& parameters, const float* other,
                 float* y, size_t y_stride, const BinaryGemmShape& shape, void* scratch);
  void (*threshold)(const uint64_t* x, const void* packed, const BinaryThresholdParameters& parameters, uint64_t* bits,
                    const BinaryGemmShape& shape, void* scratch);
  // The inner loop's operations alone, on registers: what no product of this kind can exceed. Returns the number of bit
  // products that `n_rounds` rounds stand for.
  size_t (*register_peak)(size_t n_rounds);
  BinaryExpansionKernels expansion;
};

}  // namespace bitvit

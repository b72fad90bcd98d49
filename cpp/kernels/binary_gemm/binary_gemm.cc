// The reference: one dot product at a time, 64 bits a step.
#include "kernels/binary_gemm/binary_gemm.h"
#include "kernels/popcount.h"

namespace bitvit::BITVIT_ISA {
namespace {

size_t packed_bytes(size_t n_inputs, size_t n_outputs) { return (n_inputs + 63) / 64 * n_outputs * 8; }

void pack(const uint64_t* weight, size_t n_inputs, size_t n_outputs, void* packed) {
  __builtin_memcpy(packed, weight, packed_bytes(n_inputs, n_outputs));
}

size_t scratch_bytes(const BinaryGemmShape&) { return 0; }

int32_t differing_bits(const uint64_t* a, const uint64_t* b, size_t n_words) {
  int32_t count = 0;
  for (size_t i = 0; i < n_words; ++i) count += popcount(a[i] ^ b[i]);
  return count;
}

void linear(const uint64_t* x, const void* packed, const BinaryLinearParameters& parameters, const float* other,
            float* y, size_t y_stride, const BinaryGemmShape& shape, void*) {
  const size_t n_words = (shape.n_inputs + 63) / 64;
  for (size_t r = 0; r < shape.n_rows; ++r, x += n_words, y += y_stride) {
    const uint64_t* w = static_cast<const uint64_t*>(packed);
    for (size_t o = 0; o < shape.n_outputs; ++o, w += n_words) {
      const int32_t z = parameters.offset[o] + parameters.factor * differing_bits(x, w, n_words);
      const float product = static_cast<float>(z) * parameters.scale[o];
      const float sum = product + parameters.bias[o];
      y[o] = other == nullptr ? sum : sum + other[r * y_stride + o];
    }
  }
}

void threshold(const uint64_t* x, const void* packed, const BinaryThresholdParameters& parameters, uint64_t* bits,
               const BinaryGemmShape& shape, void*) {
  const size_t n_words = (shape.n_inputs + 63) / 64;
  for (size_t r = 0; r < shape.n_rows; ++r, x += n_words) {
    const uint64_t* w = static_cast<const uint64_t*>(packed);
    for (size_t o = 0; o < shape.n_outputs; o += 64, ++bits) {
      const size_t n = shape.n_outputs - o < 64 ? shape.n_outputs - o : 64;
      uint64_t word = parameters.flip[o / 64];
      for (size_t i = 0; i < n; ++i, w += n_words) {
        const uint32_t p = static_cast<uint32_t>(differing_bits(x, w, n_words));
        const bool inside = ((p - parameters.low[o + i]) & 0xffff) <= parameters.range[o + i];
        word ^= static_cast<uint64_t>(inside) << i;
      }
      *bits = word;
    }
  }
}

size_t register_peak(size_t n_rounds) {
  uint64_t a = 1, b = 2;
  int32_t sum = 0;
  for (size_t i = 0; i < n_rounds; ++i) {
    sum += popcount(a ^ b);
    a += 0x9e3779b97f4a7c15u;
  }
  volatile int32_t sink = sum;
  (void)sink;
  return n_rounds * 64;
}

}  // namespace

const BinaryGemmKernels& binary_gemm_kernels() {
  static constexpr BinaryGemmKernels kKernels = {packed_bytes,  pack, scratch_bytes, linear, threshold,
                                                 register_peak, {}};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

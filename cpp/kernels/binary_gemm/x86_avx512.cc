// The products of multiply_avx512.inl with their epilogues.
#include "kernels/binary_gemm/binary_gemm.h"
#include "kernels/binary_gemm/expansion_avx512.inl"
#include "kernels/binary_gemm/multiply_avx512.inl"
#include "kernels/popcount_peak/popcount_peak.h"

namespace bitvit::avx512 {

const PopcountPeakKernels& popcount_peak_kernels();

namespace {

// z = offset - 2 p or offset + p; at most kBinaryGemmMaxInputs, so floats hold it exactly.
template <bool kIsSign, bool kHasSum>
void linear_of(const uint64_t* x, const void* packed, const BinaryLinearParameters& parameters, const float* other,
               float* y, size_t y_stride, const BinaryGemmShape& shape, void* scratch) {
  const uint32_t* lanes = static_cast<const uint32_t*>(packed);
  const WordRows rows = prepare_rows(x, shape, scratch);
  for (size_t o = 0; o < shape.n_outputs; o += kLanes, lanes += half_words(shape.n_inputs) * kLanes) {
    const u32x16 offset = load_wide(parameters.offset + o);
    const wide_f32 float_offset = to_floats(offset);
    const wide_f32 scale = load_floats(parameters.scale + o), bias = load_floats(parameters.bias + o);
    const size_t n = shape.n_outputs - o < kLanes ? shape.n_outputs - o : kLanes;
    const uint32_t valid = (1u << n) - 1;
    multiply_block(rows, lanes, shape, static_cast<int32_t*>(scratch),
                   [=](size_t r, const u32x16& p) __attribute__((always_inline)) {
                     const wide_f32 z = kIsSign ? subtract_twice(float_offset, to_floats(p)) : to_floats(offset + p);
                     const size_t place = r * y_stride + o;
                     wide_f32 result = z * scale + bias;
                     if constexpr (kHasSum) result = result + (wide_f32)load_first_wide(other + place, n);
                     store_first_wide(y + place, result, valid);
                   });
  }
}

void threshold(const uint64_t* x, const void* packed, const BinaryThresholdParameters& parameters, uint64_t* bits,
               const BinaryGemmShape& shape, void* scratch) {
  const uint32_t* lanes = static_cast<const uint32_t*>(packed);
  const WordRows rows = prepare_rows(x, shape, scratch);
  const size_t n_output_words = (shape.n_outputs + 63) / 64;
  // Whole words are written even where fewer outputs remain: parameters are padded to 64.
  for (size_t o = 0; o < n_output_words * 64; o += kLanes) {
    uint16_t* const out = reinterpret_cast<uint16_t*>(bits) + o / 16;
    if (o >= shape.n_outputs) {
      for (size_t r = 0; r < shape.n_rows; ++r) out[r * n_output_words * 4] = 0;
      continue;
    }
    const u32x16 low = load_u16_wide(parameters.low + o), range = load_u16_wide(parameters.range + o);
    const uint32_t flip = static_cast<uint32_t>(parameters.flip[o / 64] >> (o & 63)) & 0xffff;
    multiply_block(rows, lanes, shape, static_cast<int32_t*>(scratch),
                   [=](size_t r, const u32x16& p) __attribute__((always_inline)) {
                     const uint32_t inside = less_equal_wide(p - low, range);
                     out[r * n_output_words * 4] = static_cast<uint16_t>(inside ^ flip);
                   });
    lanes += half_words(shape.n_inputs) * kLanes;
  }
}

// The same operations on the same registers.
size_t register_peak(size_t n_rounds) { return popcount_peak_kernels().run(n_rounds); }

}  // namespace
}  // namespace bitvit::avx512

#include "kernels/binary_gemm/linear_of_factor.inl"

namespace bitvit::avx512 {

const BinaryGemmKernels& binary_gemm_kernels() {
  static constexpr BinaryGemmKernels kKernels = {packed_bytes, pack,          scratch_bytes,    linear,
                                                 threshold,    register_peak, kExpansionKernels};
  return kKernels;
}

}  // namespace bitvit::avx512

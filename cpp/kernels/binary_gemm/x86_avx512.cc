// VPOPCNTD (kernels/lanes_avx512.inl): 16 outputs, up to 12 words (384 bits) of their weights in registers, rows
// streaming past. Longer inputs take several passes; the sums of a row wait in scratch between them.
#include "kernels/binary_gemm/binary_gemm.h"
#include "kernels/lanes_avx512.inl"

namespace bitvit::avx512 {
namespace {

size_t packed_bytes(size_t n_inputs, size_t n_outputs) { return packed_lane_bytes(n_inputs, n_outputs); }

void pack(const uint64_t* weight, size_t n_inputs, size_t n_outputs, void* packed) {
  const size_t n_words = (n_inputs + 63) / 64;
  pack_lanes([=](size_t o) { return weight + o * n_words; }, n_inputs, n_outputs, static_cast<uint32_t*>(packed));
}

size_t scratch_bytes(const BinaryGemmShape& shape) {
  return half_words(shape.n_inputs) <= kMaxWords ? 0 : shape.n_rows * kLanes * 4;
}

// Calls epilogue(row, sums of 16 outputs) for each row, outputs o..o+15.
template <typename Epilogue>
BITVIT_INLINE void multiply_block(const uint64_t* x, const uint32_t* lanes, const BinaryGemmShape& shape, int32_t* sums,
                                  Epilogue epilogue) {
  const size_t n_words = half_words(shape.n_inputs);
  const size_t row_stride = (shape.n_inputs + 63) / 64;
  if (n_words <= kMaxWords) {
    with_word_count(n_words, [&](auto count) __attribute__((always_inline)) {
      const auto zero = [](size_t) __attribute__((always_inline)) { return u32x16{}; };
      count_differing<decltype(count)::value>(x, row_stride, 0, shape.n_rows, lanes, zero, epilogue);
    });
    return;
  }
  for (size_t w = 0; w < n_words; w += kMaxWords) {
    const bool first = w == 0, last = n_words - w <= kMaxWords;
    with_word_count(last ? n_words - w : kMaxWords, [&](auto count) __attribute__((always_inline)) {
      const auto start = [=](size_t r)
                             __attribute__((always_inline)) { return first ? u32x16{} : load_wide(sums + r * kLanes); };
      const uint32_t* const words = lanes + w * kLanes;
      if (last) {
        count_differing<decltype(count)::value>(x, row_stride, w, shape.n_rows, words, start, epilogue);
      } else {
        count_differing<decltype(count)::value>(
            x, row_stride, w, shape.n_rows, words, start,
            [=](size_t r, const u32x16& sum) __attribute__((always_inline)) { store_wide(sums + r * kLanes, sum); });
      }
    });
  }
}

// Of signed integers.
BITVIT_INLINE wide_f32 to_floats(const u32x16& x) { return __builtin_convertvector((i32x16)x, wide_f32); }

// z = offset - 2 p or offset + p; at most kBinaryGemmMaxInputs, so floats hold it exactly.
template <bool kIsSign>
BITVIT_INLINE void linear_of(const uint64_t* x, const void* packed, const BinaryLinearParameters& parameters, float* y,
                             size_t y_stride, const BinaryGemmShape& shape, void* scratch) {
  const uint32_t* lanes = static_cast<const uint32_t*>(packed);
  for (size_t o = 0; o < shape.n_outputs; o += kLanes, lanes += half_words(shape.n_inputs) * kLanes) {
    const u32x16 offset = load_wide(parameters.offset + o);
    const wide_f32 float_offset = to_floats(offset);
    const wide_f32 scale = (wide_f32)load_wide(parameters.scale + o), bias = (wide_f32)load_wide(parameters.bias + o);
    const size_t n = shape.n_outputs - o < kLanes ? shape.n_outputs - o : kLanes;
    const uint32_t valid = (1u << n) - 1;
    multiply_block(x, lanes, shape, static_cast<int32_t*>(scratch),
                   [=](size_t r, const u32x16& p) __attribute__((always_inline)) {
                     const wide_f32 z = kIsSign ? subtract_twice(float_offset, to_floats(p)) : to_floats(offset + p);
                     store_first_wide(y + r * y_stride + o, z * scale + bias, valid);
                   });
  }
}

void linear(const uint64_t* x, const void* packed, const BinaryLinearParameters& parameters, float* y, size_t y_stride,
            const BinaryGemmShape& shape, void* scratch) {
  if (parameters.factor == -2) {
    linear_of<true>(x, packed, parameters, y, y_stride, shape, scratch);
  } else {
    linear_of<false>(x, packed, parameters, y, y_stride, shape, scratch);
  }
}

void threshold(const uint64_t* x, const void* packed, const BinaryThresholdParameters& parameters, uint64_t* bits,
               const BinaryGemmShape& shape, void* scratch) {
  const uint32_t* lanes = static_cast<const uint32_t*>(packed);
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
    multiply_block(x, lanes, shape, static_cast<int32_t*>(scratch),
                   [=](size_t r, const u32x16& p) __attribute__((always_inline)) {
                     const uint32_t inside = less_equal_wide(p - low, range);
                     out[r * n_output_words * 4] = static_cast<uint16_t>(inside ^ flip);
                   });
    lanes += half_words(shape.n_inputs) * kLanes;
  }
}

size_t register_peak(size_t n_rounds) {
  u32x16 words[kMaxWords], sums[4] = {}, x = broadcast_wide(1);
  BITVIT_UNROLL
  for (size_t i = 0; i < kMaxWords; ++i) words[i] = broadcast_wide(static_cast<uint32_t>(n_rounds + i));
  for (size_t r = 0; r < n_rounds; ++r) {
    BITVIT_UNROLL
    for (size_t i = 0; i < kMaxWords; ++i) sums[i % 4] += popcount_wide(words[i] ^ x);
    x += words[0];
  }
  volatile uint32_t sink = (sums[0] ^ sums[1] ^ sums[2] ^ sums[3])[0];
  (void)sink;
  return n_rounds * kMaxWords * kLanes * 32;
}

}  // namespace

const BinaryGemmKernels& binary_gemm_kernels() {
  static constexpr BinaryGemmKernels kKernels = {packed_bytes, pack, scratch_bytes, linear, threshold, register_peak};
  return kKernels;
}

}  // namespace bitvit::avx512

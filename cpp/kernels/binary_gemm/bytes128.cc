// 64 outputs and four rows at a time (kernels/bytes128.inl).
#include "kernels/bytes128.inl"
#include "kernels/binary_gemm/binary_gemm.h"

namespace bitvit::BITVIT_ISA {
namespace {

static_assert(kBinaryGemmBlock == kBlockLanes);

size_t packed_bytes(size_t n_inputs, size_t n_outputs) { return packed_lane_bytes(n_inputs, n_outputs); }

void pack(const uint64_t* weight, size_t n_inputs, size_t n_outputs, void* packed) {
  const size_t n_words = (n_inputs + 63) / 64;
  pack_lanes([=](size_t o) __attribute__((always_inline)) { return weight + o * n_words; }, n_inputs, n_outputs,
             static_cast<uint8_t*>(packed));
}

size_t scratch_bytes(const BinaryGemmShape&) { return 0; }

// Calls begin(block) and then, for each row, epilogue(row, block, sums of its 64 outputs).
template <typename Begin, typename Epilogue>
BITVIT_INLINE void multiply(const uint64_t* x, const void* packed, const BinaryGemmShape& shape, Begin begin,
                            Epilogue epilogue) {
  const size_t n_words = (shape.n_inputs + 63) / 64, n_steps = lane_steps(shape.n_inputs);
  const uint8_t* lanes = static_cast<const uint8_t*>(packed);
  alignas(64) uint16_t sums[kRowsAtOnce * kBlockLanes];
  for (size_t block = 0; block < lane_blocks(shape.n_outputs); ++block, lanes += n_steps * kBlockLanes) {
    begin(block);
    for (size_t r = 0; r < shape.n_rows; r += kRowsAtOnce) {
      const size_t n = shape.n_rows - r < kRowsAtOnce ? shape.n_rows - r : kRowsAtOnce;
      count_block<DifferingBits>(n, x + r * n_words, n_words * 8, lanes, n_steps, sums);
      for (size_t i = 0; i < n; ++i) epilogue(r + i, block, sums + i * kBlockLanes);
    }
  }
}

// z = offset + factor * p is at most kBinaryGemmMaxInputs, so 16 bits hold it.
void linear(const uint64_t* x, const void* packed, const BinaryLinearParameters& parameters, const float* other,
            float* y, size_t y_stride, const BinaryGemmShape& shape, void*) {
  alignas(64) uint16_t offsets[kBlockLanes];
  const u16x8 factor = u16x8{} + static_cast<uint16_t>(parameters.factor);
  const auto begin = [&](size_t block) __attribute__((always_inline)) {
    for (size_t i = 0; i < kBlockLanes; ++i) {
      offsets[i] = static_cast<uint16_t>(parameters.offset[block * kBlockLanes + i]);
    }
  };
  multiply(x, packed, shape, begin, [&](size_t r, size_t block, const uint16_t* sums) __attribute__((always_inline)) {
    const size_t first = block * kBlockLanes;
    for (size_t i = 0; i < kBlockLanes && first + i < shape.n_outputs; i += 16) {
      const size_t o = first + i, n = shape.n_outputs - o;
      const u16x8 low = load_words(offsets + i) + factor * load_words(sums + i);
      const u16x8 high = load_words(offsets + i + 8) + factor * load_words(sums + i + 8);
      const f32x16 z = to_floats((i16x8)low, (i16x8)high);
      f32x16 result = z * load(parameters.scale + o) + load(parameters.bias + o);
      if (other != nullptr) {
        const float* const summand = other + r * y_stride + o;
        result = result + (n >= 16 ? load(summand) : load_first(summand, n));
      }
      if (n >= 16) {
        store(y + r * y_stride + o, result);
      } else {
        store_first(y + r * y_stride + o, result, n);
      }
    }
  });
}

BITVIT_INLINE u8x16 is_inside(const uint16_t* sums, const BinaryThresholdParameters& parameters, size_t o) {
  const u16x8 low = load_words(sums) - load_words(parameters.low + o);
  const u16x8 high = load_words(sums + 8) - load_words(parameters.low + o + 8);
  const u8x16 first = (u8x16)(low <= load_words(parameters.range + o));
  const u8x16 second = (u8x16)(high <= load_words(parameters.range + o + 8));
  return __builtin_shufflevector(first, second, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}

void threshold(const uint64_t* x, const void* packed, const BinaryThresholdParameters& parameters, uint64_t* bits,
               const BinaryGemmShape& shape, void*) {
  const size_t n_words = lane_blocks(shape.n_outputs);
  const auto begin = [](size_t) {};
  multiply(x, packed, shape, begin, [&](size_t r, size_t block, const uint16_t* sums) __attribute__((always_inline)) {
    u8x16 inside[kBlockVectors];
    BITVIT_UNROLL
    for (size_t v = 0; v < kBlockVectors; ++v) {
      inside[v] = is_inside(sums + 16 * v, parameters, block * kBlockLanes + 16 * v);
    }
    bits[r * n_words + block] = mask_bits(inside) ^ parameters.flip[block];
  });
}

size_t register_peak(size_t n_rounds) {
  u8x16 words[8], sums[8], x = u8x16{} + 1;
  BITVIT_UNROLL
  for (size_t i = 0; i < 8; ++i) {
    words[i] = u8x16{} + static_cast<uint8_t>(n_rounds + i);
    sums[i] = u8x16{};
  }
  for (size_t r = 0; r < n_rounds; ++r) {
    BITVIT_UNROLL
    for (size_t i = 0; i < 8; ++i) sums[i] += popcount_bytes(words[i] ^ x);
    x += words[0];
  }
  u8x16 all = {};
  BITVIT_UNROLL
  for (size_t i = 0; i < 8; ++i) all ^= sums[i];
  volatile uint32_t sink = all[0];
  (void)sink;
  return n_rounds * 8 * 128;
}

}  // namespace

const BinaryGemmKernels& binary_gemm_kernels() {
  static constexpr BinaryGemmKernels kKernels = {packed_bytes,  pack, scratch_bytes, linear, threshold,
                                                 register_peak, {}};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

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

// For each block and row the counts of 64 outputs: begin(block), then for kRowsAtOnce rows at a time
// finish(row, block, vector, low, high) with sixteen of them, and for the last rows and the last outputs
// finish_part(row, block, counts).
template <typename Begin, typename Finish, typename FinishPart>
BITVIT_INLINE void multiply(const uint64_t* x, const void* packed, const BinaryGemmShape& shape, Begin begin,
                            Finish finish, FinishPart finish_part) {
  const size_t n_words = (shape.n_inputs + 63) / 64, n_steps = lane_steps(shape.n_inputs);
  const uint8_t* lanes = static_cast<const uint8_t*>(packed);
  alignas(64) uint16_t sums[kRowsAtOnce * kBlockLanes] = {}, counts[kRowsAtOnce * kBlockLanes];
  for (size_t block = 0; block < lane_blocks(shape.n_outputs); ++block, lanes += n_steps * kBlockLanes) {
    begin(block);
    size_t r = 0;
    if ((block + 1) * kBlockLanes <= shape.n_outputs) {
      for (; r + kRowsAtOnce <= shape.n_rows; r += kRowsAtOnce) {
        count_block_then<DifferingBits>(x + r * n_words, n_words * 8, lanes, n_steps, sums,
                                        [&](size_t i, size_t v, u16x8 low, u16x8 high)
                                            __attribute__((always_inline)) { finish(r + i, block, v, low, high); });
      }
    }
    for (; r < shape.n_rows; r += kRowsAtOnce) {
      const size_t n = shape.n_rows - r < kRowsAtOnce ? shape.n_rows - r : kRowsAtOnce;
      count_block<DifferingBits>(n, x + r * n_words, n_words * 8, lanes, n_steps, counts);
      for (size_t i = 0; i < n; ++i) finish_part(r + i, block, counts + i * kBlockLanes);
    }
  }
}

// z = offset + factor * p is at most kBinaryGemmMaxInputs, so 16 bits hold it.
template <bool kHasOther>
BITVIT_INLINE void linear_of(const uint64_t* x, const void* packed, const BinaryLinearParameters& parameters,
                             const float* other, float* y, size_t y_stride, const BinaryGemmShape& shape) {
  alignas(64) uint16_t offsets[kBlockLanes];
  const u16x8 factor = u16x8{} + static_cast<uint16_t>(parameters.factor);
  const auto begin = [&](size_t block) __attribute__((always_inline)) {
    for (size_t i = 0; i < kBlockLanes; ++i) {
      offsets[i] = static_cast<uint16_t>(parameters.offset[block * kBlockLanes + i] + kBias);
    }
  };
  const auto values = [&](size_t block, size_t v, u16x8 low, u16x8 high) __attribute__((always_inline)) {
    const size_t o = block * kBlockLanes + 16 * v;
    const f32x16 z =
        biased_to_floats(load_words(offsets + 16 * v) + factor * low, load_words(offsets + 16 * v + 8) + factor * high);
    return z * load(parameters.scale + o) + load(parameters.bias + o);
  };
  const auto finish = [&](size_t r, size_t block, size_t v, u16x8 low, u16x8 high) __attribute__((always_inline)) {
    const f32x16 result = values(block, v, low, high);
    const size_t place = r * y_stride + block * kBlockLanes + 16 * v;
    store(y + place, kHasOther ? result + load(other + place) : result);
  };
  const auto finish_part = [&](size_t r, size_t block, const uint16_t* counts) {
    alignas(64) float row[kBlockLanes];
    for (size_t v = 0; v < kBlockVectors; ++v) {
      store(row + 16 * v, values(block, v, load_words(counts + 16 * v), load_words(counts + 16 * v + 8)));
    }
    const size_t first = block * kBlockLanes, left = shape.n_outputs - first, place = r * y_stride + first;
    for (size_t i = 0; i < left && i < kBlockLanes; ++i) {
      y[place + i] = kHasOther ? row[i] + other[place + i] : row[i];
    }
  };
  multiply(x, packed, shape, begin, finish, finish_part);
}

void linear(const uint64_t* x, const void* packed, const BinaryLinearParameters& parameters, const float* other,
            float* y, size_t y_stride, const BinaryGemmShape& shape, void*) {
  if (other != nullptr) return linear_of<true>(x, packed, parameters, other, y, y_stride, shape);
  linear_of<false>(x, packed, parameters, other, y, y_stride, shape);
}

BITVIT_INLINE u8x16 is_inside(u16x8 low, u16x8 high, const BinaryThresholdParameters& parameters, size_t o) {
  const u8x16 first = (u8x16)(low - load_words(parameters.low + o) <= load_words(parameters.range + o));
  const u8x16 second = (u8x16)(high - load_words(parameters.low + o + 8) <= load_words(parameters.range + o + 8));
  return __builtin_shufflevector(first, second, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}

void threshold(const uint64_t* x, const void* packed, const BinaryThresholdParameters& parameters, uint64_t* bits,
               const BinaryGemmShape& shape, void*) {
  const size_t n_words = lane_blocks(shape.n_outputs);
  u8x16 inside[kBlockVectors];
  const auto begin = [](size_t) {};
  const auto finish = [&](size_t r, size_t block, size_t v, u16x8 low, u16x8 high) __attribute__((always_inline)) {
    inside[v] = is_inside(low, high, parameters, block * kBlockLanes + 16 * v);
    if (v + 1 == kBlockVectors) bits[r * n_words + block] = mask_bits(inside) ^ parameters.flip[block];
  };
  const auto finish_part = [&](size_t r, size_t block, const uint16_t* counts) {
    for (size_t v = 0; v < kBlockVectors; ++v) {
      finish(r, block, v, load_words(counts + 16 * v), load_words(counts + 16 * v + 8));
    }
  };
  multiply(x, packed, shape, begin, finish, finish_part);
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

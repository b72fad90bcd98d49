// Table lookup (kernels/nibble_avx2.inl): up to 128 outputs of two rows at a time, then the epilogue from 16-bit
// counts. The inputs are cut into parts of at most 63 steps, and a part of the weights stays in the first-level cache
// for a block of rows.
#include "kernels/binary_gemm/binary_gemm.h"
#include "kernels/nibble_avx2.inl"

namespace bitvit::avx2 {
namespace {

constexpr size_t kRowBlock = 32;  // rows, in pairs
constexpr size_t kBlockStrips =
    4;  // one part of their weights and the counts of kRowBlock rows fit in the first-level cache

size_t packed_bytes(size_t n_inputs, size_t n_outputs) { return packed_lane_bytes(n_inputs, n_outputs); }

void pack(const uint64_t* weight, size_t n_inputs, size_t n_outputs, void* packed) {
  const size_t n_words = (n_inputs + 63) / 64;
  pack_lanes([=](size_t o) { return weight + o * n_words; }, n_inputs, n_outputs, Strips(n_outputs, kBlockStrips),
             static_cast<uint8_t*>(packed));
}

// The steps of all pairs of rows, then the counts of a block for kRowBlock rows.
size_t scratch_bytes(const BinaryGemmShape& shape) {
  return (shape.n_rows + 1) / 2 * pair_steps(shape.n_inputs) * 2 + 64 + kRowBlock * kBlockStrips * kStrip * 2;
}

// Calls epilogue(row, first output, counts[32]) for everything.
template <typename Epilogue>
BITVIT_INLINE void multiply(const uint64_t* x, const void* packed, const BinaryGemmShape& shape, void* scratch,
                            Epilogue epilogue) {
  const size_t n_words = (shape.n_inputs + 63) / 64, stride = pair_steps(shape.n_inputs);
  uint16_t* const places = static_cast<uint16_t*>(scratch);
  uint16_t* const counts = places + ((shape.n_rows + 1) / 2 * stride + 31) / 32 * 32;
  for (size_t r = 0; r < shape.n_rows; r += 2) {
    const uint64_t* const a = x + r * n_words;
    // The last row of an odd number is its own partner.
    expand_pair(a, r + 1 < shape.n_rows ? a + n_words : a, shape.n_inputs, places + r / 2 * stride);
  }

  const Strips strips(shape.n_outputs, kBlockStrips);
  const size_t n_steps = nibble_steps(shape.n_inputs);
  const size_t n_parts = (n_steps + kMaxByteSteps - 1) / kMaxByteSteps;
  const size_t part = ((n_steps + n_parts - 1) / n_parts + 2) / 3 * 3;
  const uint8_t* lanes = static_cast<const uint8_t*>(packed);
  for (size_t first = 0; first < strips.n_strips; first += strips.block_strips) {
    const size_t left = strips.n_strips - first;
    const size_t n_strips = left < strips.block_strips ? left : strips.block_strips;
    const size_t n_lanes = n_strips * kStrip;
    for (size_t r0 = 0; r0 < shape.n_rows; r0 += kRowBlock) {
      const size_t count = shape.n_rows - r0 < kRowBlock ? shape.n_rows - r0 : kRowBlock;
      for (size_t begin = 0; begin < n_steps; begin += part) {
        const size_t n = n_steps - begin < part ? n_steps - begin : part;
        for (size_t r = 0; r < count; r += 2) {
          count_pair({places + (r0 + r) / 2 * stride + begin, nullptr}, lanes + begin * n_lanes, n, kXorTable,
                     begin == 0, counts + r * n_lanes, counts + (r + 1) * n_lanes, n_strips);
        }
      }
      for (size_t r = 0; r < count; ++r) {
        for (size_t l = 0; l < n_lanes; l += kStrip) epilogue(r0 + r, first * kStrip + l, counts + r * n_lanes + l);
      }
    }
    lanes += n_steps * n_lanes;
  }
}

BITVIT_INLINE __m256i load_i32(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }

// z = offset - 2 p or offset + p.
template <bool kIsSign, bool kHasSum>
void linear_of(const uint64_t* x, const void* packed, const BinaryLinearParameters& parameters, const float* other,
               float* y, size_t y_stride, const BinaryGemmShape& shape, void* scratch) {
  const int32_t* const offsets = parameters.offset;
  const float* const scales = parameters.scale;
  const float* const biases = parameters.bias;
  const size_t n_outputs = shape.n_outputs;
  multiply(x, packed, shape, scratch, [=](size_t r, size_t o, const uint16_t* counts) __attribute__((always_inline)) {
    const size_t n = n_outputs - o < kStrip ? n_outputs - o : kStrip;
    float* const row = y + r * y_stride + o;
    const float* const summand = kHasSum ? other + r * y_stride + o : nullptr;
    alignas(32) float block[kStrip];
    float* const out = n == kStrip ? row : block;
    BITVIT_UNROLL
    for (size_t i = 0; i < kStrip; i += 16) {
      const __m256i p = _mm256_load_si256(reinterpret_cast<const __m256i*>(counts + i));
      const __m256i scaled = kIsSign ? _mm256_slli_epi16(p, 1) : p;  // below 2^16
      BITVIT_UNROLL
      for (size_t half = 0; half < 2; ++half) {
        const __m128i part = half == 0 ? _mm256_castsi256_si128(scaled) : _mm256_extracti128_si256(scaled, 1);
        const __m256i wide = _mm256_cvtepu16_epi32(part);
        const size_t j = o + i + 8 * half;
        const __m256i offset = load_i32(offsets + j);
        const __m256i z = kIsSign ? _mm256_sub_epi32(offset, wide) : _mm256_add_epi32(offset, wide);
        const __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(z), _mm256_loadu_ps(scales + j));
        __m256 result = _mm256_add_ps(product, _mm256_loadu_ps(biases + j));
        if (kHasSum && n == kStrip) result = _mm256_add_ps(result, _mm256_loadu_ps(summand + i + 8 * half));
        _mm256_storeu_ps(out + i + 8 * half, result);
      }
    }
    if (n == kStrip) return;
    for (size_t i = 0; i < n; ++i) row[i] = kHasSum ? block[i] + summand[i] : block[i];
  });
}

void threshold(const uint64_t* x, const void* packed, const BinaryThresholdParameters& parameters, uint64_t* bits,
               const BinaryGemmShape& shape, void* scratch) {
  const size_t n_words = (shape.n_outputs + 63) / 64;
  const uint16_t* const lows = parameters.low;
  const uint16_t* const ranges = parameters.range;
  const uint64_t* const flips = parameters.flip;
  multiply(x, packed, shape, scratch, [=](size_t r, size_t o, const uint16_t* counts) __attribute__((always_inline)) {
    __m256i inside[2];
    BITVIT_UNROLL
    for (size_t i = 0; i < 2; ++i) {
      const __m256i p = _mm256_load_si256(reinterpret_cast<const __m256i*>(counts + 16 * i));
      const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lows + o + 16 * i));
      const __m256i range = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(ranges + o + 16 * i));
      const __m256i above = _mm256_sub_epi16(p, low);
      inside[i] = _mm256_cmpeq_epi16(_mm256_min_epu16(above, range), above);
    }
    // vpacksswb works within 128-bit halves: its 64-bit quarters come out in the order 0, 2, 1, 3.
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packs_epi16(inside[0], inside[1]), 0xd8);
    const uint64_t is_inside = static_cast<uint32_t>(_mm256_movemask_epi8(bytes));
    uint64_t* const word = bits + r * n_words + o / 64;
    // A word is two strips; the second one, where there is none, stays 0.
    if (o % 64 == 0) {
      *word = is_inside ^ (flips[o / 64] & 0xffffffff);
    } else {
      *word |= (is_inside ^ (flips[o / 64] >> 32)) << 32;
    }
  });
}

size_t register_peak(size_t n_rounds) {
  constexpr int kSums = 4;
  const __m256i low_half = _mm256_set1_epi8(15);
  __m256i low[kSums], high[kSums], rows[3];
  BITVIT_UNROLL
  for (int i = 0; i < kSums; ++i) low[i] = high[i] = _mm256_setzero_si256();
  BITVIT_UNROLL
  for (int i = 0; i < 3; ++i) rows[i] = _mm256_set1_epi8(static_cast<char>(i));
  __m256i bits = _mm256_set1_epi8(1);
  for (size_t r = 0; r < n_rounds; ++r) {
    BITVIT_UNROLL
    for (int i = 0; i < kSums; ++i) {
      __m256i sum = _mm256_shuffle_epi8(rows[0], bits);
      BITVIT_UNROLL
      for (int k = 1; k < 3; ++k) sum = _mm256_add_epi8(sum, _mm256_shuffle_epi8(rows[k], bits));
      add_bytes(low[i], _mm256_and_si256(sum, low_half));
      add_words(high[i], _mm256_srli_epi16(sum, 4));
      __asm__("" : "+x"(bits));  // each lookup is its own
    }
  }
  BITVIT_UNROLL
  for (int i = 1; i < kSums; ++i) {
    low[0] = _mm256_xor_si256(low[0], low[i]);
    high[0] = _mm256_xor_si256(high[0], high[i]);
  }
  volatile int32_t sink = _mm256_extract_epi32(_mm256_xor_si256(low[0], high[0]), 0);
  (void)sink;
  return n_rounds * kSums * 3 * 2 * kStrip * 4;
}

}  // namespace
}  // namespace bitvit::avx2

#include "kernels/binary_gemm/linear_of_factor.inl"

namespace bitvit::avx2 {

const BinaryGemmKernels& binary_gemm_kernels() {
  static constexpr BinaryGemmKernels kKernels = {packed_bytes,  pack, scratch_bytes, linear, threshold,
                                                 register_peak, {}};
  return kKernels;
}

}  // namespace bitvit::avx2

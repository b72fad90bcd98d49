// Pairs of inputs: both operands widened to 16 bits, then vpmaddwd (exact: 2 * 255 * 128 fits). vpmaddubsw would
// saturate.
#include "kernels/byte_gemm/byte_gemm.h"
#include "kernels/byte_gemm/pack_groups.inl"

namespace bitvit::avx2 {
namespace {

constexpr size_t kChunk = 512;  // inputs widened at a time

size_t packed_bytes(size_t n_inputs, size_t n_outputs) { return group_bytes<2>(n_inputs, n_outputs); }

void pack(const int8_t* weight, size_t n_inputs, size_t n_outputs, void* packed) {
  pack_groups<2>(weight, n_inputs, n_outputs, packed);
}

// acc (+)= kRows rows x 16 outputs over n_pairs pairs; `wide` holds the rows as 16-bit numbers, kChunk apart.
template <int kRows>
BITVIT_INLINE void block(const int16_t* wide, const int8_t* weight, int32_t* acc, size_t acc_stride, size_t n_pairs,
                         bool first) {
  __m256i sum[kRows][2];
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
  for (size_t k = 0; k < n_pairs; ++k, weight += 32) {
    const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weight)));
    const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weight + 16)));
    BITVIT_UNROLL
    for (int r = 0; r < kRows; ++r) {
      int32_t pair;
      __builtin_memcpy(&pair, wide + static_cast<size_t>(r) * kChunk + 2 * k, sizeof(pair));
      const __m256i x = _mm256_set1_epi32(pair);
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(x, w0));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(x, w1));
    }
  }
  BITVIT_UNROLL
  for (int r = 0; r < kRows; ++r) {
    BITVIT_UNROLL
    for (int i = 0; i < 2; ++i) {
      __m256i* const out = reinterpret_cast<__m256i*>(acc + static_cast<size_t>(r) * acc_stride + 8 * i);
      const __m256i old = first ? _mm256_setzero_si256() : _mm256_loadu_si256(out);
      _mm256_storeu_si256(out, _mm256_add_epi32(old, sum[r][i]));
    }
  }
}

template <int kRows>
BITVIT_INLINE void rows(const uint8_t* x, size_t x_stride, const int8_t* weight, int32_t* acc, size_t n_inputs,
                        size_t n_outputs) {
  alignas(32) int16_t wide[kRows * kChunk];
  const size_t acc_stride = (n_outputs + 15) / 16 * 16;
  const size_t n_padded = (n_inputs + 1) / 2 * 2;
  for (size_t k = 0; k < n_padded; k += kChunk) {
    const size_t n = n_padded - k < kChunk ? n_padded - k : kChunk;
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t i = 0; i < n; ++i) wide[r * kChunk + i] = x[r * x_stride + k + i];
    }
    for (size_t o = 0; o < n_outputs; o += 16) {
      block<kRows>(wide, weight + o * n_padded + 16 * k, acc + o, acc_stride, n / 2, k == 0);
    }
  }
}

void multiply(const uint8_t* x, size_t x_stride, const void* packed, int32_t* acc, size_t n_rows, size_t n_inputs,
              size_t n_outputs) {
  const int8_t* const weight = static_cast<const int8_t*>(packed);
  const size_t acc_stride = (n_outputs + 15) / 16 * 16;
  size_t r = 0;
  for (; r + 4 <= n_rows; r += 4)
    rows<4>(x + r * x_stride, x_stride, weight, acc + r * acc_stride, n_inputs, n_outputs);
  for (; r < n_rows; ++r) rows<1>(x + r * x_stride, x_stride, weight, acc + r * acc_stride, n_inputs, n_outputs);
}

}  // namespace

const ByteGemmKernels& byte_gemm_kernels() {
  static constexpr ByteGemmKernels kKernels = {packed_bytes, pack, multiply};
  return kKernels;
}

}  // namespace bitvit::avx2

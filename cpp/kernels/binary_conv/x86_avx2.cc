// Byte-wise popcounts by table lookup: a lane of 32 bits collects its counts in 4 bytes, which are added up at the end.
#include "kernels/binary_conv/binary_conv.h"
#include "kernels/binary_conv/finish.inl"

namespace bitvit::avx2 {
namespace {

constexpr BinaryConvRunKernels kRunKernels = {};

constexpr size_t kMaxByteUnits = 31;  // 31 * 8 <= 255

BITVIT_INLINE __m256i byte_counts(__m256i x) {
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                         0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low_half = _mm256_set1_epi8(15);
  const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(x, low_half));
  const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low_half));
  return _mm256_add_epi8(low, high);
}

BITVIT_INLINE i32_lanes count_differing(const uint32_t* x, const uint32_t* weight, size_t n_units) {
  __m256i total[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (size_t begin = 0; begin < n_units; begin += kMaxByteUnits) {
    const size_t end = n_units - begin < kMaxByteUnits ? n_units : begin + kMaxByteUnits;
    __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t u = begin; u < end; ++u, weight += 16) {
      const __m256i bits = _mm256_set1_epi32(static_cast<int32_t>(x[u]));
      BITVIT_UNROLL
      for (int i = 0; i < 2; ++i) {
        const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weight + 8 * i));
        sum[i] = _mm256_add_epi8(sum[i], byte_counts(_mm256_xor_si256(bits, w)));
      }
    }
    BITVIT_UNROLL
    for (int i = 0; i < 2; ++i) {
      const __m256i pairs = _mm256_maddubs_epi16(sum[i], _mm256_set1_epi8(1));
      total[i] = _mm256_add_epi32(total[i], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
  }
  return {{(native_i32)total[0], (native_i32)total[1]}};
}

}  // namespace
}  // namespace bitvit::avx2

#include "kernels/binary_conv/binary_conv.inl"

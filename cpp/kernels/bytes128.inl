// Bits counted in vectors of 16 bytes, for AArch64 and WebAssembly: what both have, and then one of two ways of
// counting (lane_counts_neon.inl, lane_counts_wasm.inl) with the same functions:
//
//   lane_steps(n_bits)                    bytes of a lane
//   pack_lanes(row_of, n_bits, n_lanes)   lanes as [block of 64][step][64 bytes]; those beyond the last are 0
//   count_block<Op>(n_rows, rows, ...)    counts of up to kRowsAtOnce rows with the 64 lanes of a block, 16 bits each
//   count_block_then<Op>(rows, ..., finish)   the same for kRowsAtOnce rows, handed to finish(row, vector, low, high);
//                                         `sums` must be zero before the first call, and is for such calls only
//
// Each byte belongs to a lane: an output channel, a key, a channel of V.
#include "kernels/popcount.h"

namespace bitvit::BITVIT_ISA {
namespace {

typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef int16_t i16x8 __attribute__((vector_size(16)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));

constexpr size_t kBlockLanes = 64;
constexpr size_t kBlockVectors = kBlockLanes / 16;
constexpr size_t kMaxByteSteps = 31;  // 31 * 8 <= 255
constexpr size_t kRowsAtOnce = 4;     // 16 sums, 4 vectors of lanes and 4 bytes of rows fit in NEON's 32 registers

BITVIT_INLINE u8x16 popcount_bytes(u8x16 x) {
#if defined(__aarch64__)
  return (u8x16)vcntq_u8((uint8x16_t)x);
#else
  return (u8x16)wasm_i8x16_popcnt((v128_t)x);
#endif
}

// Bit i: byte i of 64, each all ones or zero.
BITVIT_INLINE uint64_t mask_bits(const u8x16* masks) {
#if defined(__aarch64__)
  const u8x16 weights = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t first = vpaddq_u8((uint8x16_t)(masks[0] & weights), (uint8x16_t)(masks[1] & weights));
  const uint8x16_t second = vpaddq_u8((uint8x16_t)(masks[2] & weights), (uint8x16_t)(masks[3] & weights));
  const uint8x16_t fours = vpaddq_u8(first, second);
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(fours, fours)), 0);
#else
  uint64_t bits = 0;
  BITVIT_UNROLL
  for (size_t i = 0; i < 4; ++i) bits |= static_cast<uint64_t>(wasm_i8x16_bitmask((v128_t)masks[i])) << (16 * i);
  return bits;
#endif
}

BITVIT_INLINE u8x16 load_bytes(const void* p) {
  u8x16 x;
  __builtin_memcpy(&x, p, sizeof(x));
  return x;
}

BITVIT_INLINE u16x8 load_words(const uint16_t* p) {
  u16x8 x;
  __builtin_memcpy(&x, p, sizeof(x));
  return x;
}

BITVIT_INLINE void store_words(uint16_t* p, u16x8 low, u16x8 high) {
  __builtin_memcpy(p, &low, sizeof(low));
  __builtin_memcpy(p + 8, &high, sizeof(high));
}

// sum + the low or high half of the bytes.
BITVIT_INLINE u16x8 add_low(u16x8 sum, u8x16 x) {
#if defined(__aarch64__)
  return (u16x8)vaddw_u8((uint16x8_t)sum, vget_low_u8((uint8x16_t)x));
#else
  return sum + (u16x8)wasm_u16x8_extend_low_u8x16((v128_t)x);
#endif
}
BITVIT_INLINE u16x8 add_high(u16x8 sum, u8x16 x) {
#if defined(__aarch64__)
  return (u16x8)vaddw_high_u8((uint16x8_t)sum, (uint8x16_t)x);
#else
  return sum + (u16x8)wasm_u16x8_extend_high_u8x16((v128_t)x);
#endif
}

// The eight numbers of each, converted.
BITVIT_INLINE f32x16 to_floats(i16x8 first, i16x8 second) {
  f32x16 r;
#if defined(__aarch64__)
  const int16x8_t a = (int16x8_t)first, b = (int16x8_t)second;
  r.v[0] = (native_f32)vcvtq_f32_s32(vmovl_s16(vget_low_s16(a)));
  r.v[1] = (native_f32)vcvtq_f32_s32(vmovl_high_s16(a));
  r.v[2] = (native_f32)vcvtq_f32_s32(vmovl_s16(vget_low_s16(b)));
  r.v[3] = (native_f32)vcvtq_f32_s32(vmovl_high_s16(b));
#else
  const v128_t a = (v128_t)first, b = (v128_t)second;
  r.v[0] = (native_f32)wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(a));
  r.v[1] = (native_f32)wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(a));
  r.v[2] = (native_f32)wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(b));
  r.v[3] = (native_f32)wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(b));
#endif
  return r;
}

// The sixteen numbers x - kBias, converted: x becomes the end of a binary32 of 2^23 + x, which is exact. Two operations
// of any of a processor's units each; conversions have one unit only.
constexpr uint16_t kBias = 0x8000;
BITVIT_INLINE f32x16 biased_to_floats(u16x8 first, u16x8 second) {
  const u16x8 exponent = u16x8{} + 0x4b00;
  const native_f32 bias = native_f32{} + (8388608.0f + kBias);
  f32x16 r;
  r.v[0] = (native_f32)__builtin_shufflevector(first, exponent, 0, 8, 1, 9, 2, 10, 3, 11) - bias;
  r.v[1] = (native_f32)__builtin_shufflevector(first, exponent, 4, 12, 5, 13, 6, 14, 7, 15) - bias;
  r.v[2] = (native_f32)__builtin_shufflevector(second, exponent, 0, 8, 1, 9, 2, 10, 3, 11) - bias;
  r.v[3] = (native_f32)__builtin_shufflevector(second, exponent, 4, 12, 5, 13, 6, 14, 7, 15) - bias;
  return r;
}

BITVIT_INLINE size_t lane_blocks(size_t n_lanes) { return (n_lanes + kBlockLanes - 1) / kBlockLanes; }

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#if defined(__aarch64__)
#include "kernels/lane_counts_neon.inl"
#else
#include "kernels/lane_counts_wasm.inl"
#endif

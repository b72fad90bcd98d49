// Bits counted in vectors of 16 bytes, for instruction sets that count the bits of each byte (NEON's cnt) or look them
// up (SIMD128's swizzle).
//
// Each byte belongs to a lane: an output channel, a key, a channel of V. A step takes 8 bits of K: the byte of a row is
// broadcast, combined with the bytes of 64 lanes, and the counts are added up as bytes: three instructions for 128 bit
// products. Before a byte overflows, after 31 steps, sums are widened to 16 bits.
//
// Lanes are packed as [block of 64][step][64 bytes]; those beyond the last are 0.
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
constexpr size_t kRowsAtOnce = 4;     // 16 sums, 4 vectors of lanes and 4 bytes of rows fit in 32 registers

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

BITVIT_INLINE size_t byte_steps(size_t n_bits) { return (n_bits + 7) / 8; }

BITVIT_INLINE size_t lane_blocks(size_t n_lanes) { return (n_lanes + kBlockLanes - 1) / kBlockLanes; }

BITVIT_INLINE size_t packed_lane_bytes(size_t n_bits, size_t n_lanes) {
  return lane_blocks(n_lanes) * byte_steps(n_bits) * kBlockLanes;
}

// row_of(lane): its bits, in words.
template <typename RowOf>
BITVIT_INLINE void pack_lanes(RowOf row_of, size_t n_bits, size_t n_lanes, uint8_t* out) {
  const size_t n_steps = byte_steps(n_bits);
  __builtin_memset(out, 0, packed_lane_bytes(n_bits, n_lanes));
  for (size_t lane = 0; lane < n_lanes; ++lane) {
    const uint8_t* const bytes = reinterpret_cast<const uint8_t*>(row_of(lane));
    uint8_t* const column = out + lane / kBlockLanes * n_steps * kBlockLanes + lane % kBlockLanes;
    for (size_t k = 0; k < n_steps; ++k) column[k * kBlockLanes] = bytes[k];
  }
}

struct DifferingBits {
  BITVIT_INLINE u8x16 combine(u8x16 a, u8x16 b) { return a ^ b; }
};
struct CommonBits {
  BITVIT_INLINE u8x16 combine(u8x16 a, u8x16 b) { return a & b; }
};

// sums[r][lane] = popcount(row r op lane) for the 64 lanes of a block.
template <typename Op, size_t kRows>
BITVIT_INLINE void count_rows(const uint8_t* rows, size_t row_bytes, const uint8_t* lanes, size_t n_steps,
                              uint16_t* sums) {
  for (size_t begin = 0; begin < n_steps; begin += kMaxByteSteps) {
    const size_t end = n_steps - begin < kMaxByteSteps ? n_steps : begin + kMaxByteSteps;
    u8x16 counts[kRows][kBlockVectors];
    BITVIT_UNROLL
    for (size_t r = 0; r < kRows; ++r) {
      BITVIT_UNROLL
      for (size_t v = 0; v < kBlockVectors; ++v) counts[r][v] = u8x16{};
    }
    for (size_t k = begin; k < end; ++k) {
      u8x16 of_lanes[kBlockVectors];
      BITVIT_UNROLL
      for (size_t v = 0; v < kBlockVectors; ++v) of_lanes[v] = load_bytes(lanes + k * kBlockLanes + 16 * v);
      BITVIT_UNROLL
      for (size_t r = 0; r < kRows; ++r) {
        const u8x16 of_row = u8x16{} + rows[r * row_bytes + k];
        BITVIT_UNROLL
        for (size_t v = 0; v < kBlockVectors; ++v) counts[r][v] += popcount_bytes(Op::combine(of_lanes[v], of_row));
      }
    }
    BITVIT_UNROLL
    for (size_t r = 0; r < kRows; ++r) {
      BITVIT_UNROLL
      for (size_t v = 0; v < kBlockVectors; ++v) {
        uint16_t* const out = sums + r * kBlockLanes + 16 * v;
        const bool is_first = begin == 0;
        const u16x8 low = add_low(is_first ? u16x8{} : load_words(out), counts[r][v]);
        const u16x8 high = add_high(is_first ? u16x8{} : load_words(out + 8), counts[r][v]);
        __builtin_memcpy(out, &low, sizeof(low));
        __builtin_memcpy(out + 8, &high, sizeof(high));
      }
    }
  }
}

// The same for 1 to kRowsAtOnce rows.
template <typename Op>
BITVIT_INLINE void count_block(size_t n_rows, const void* rows, size_t row_bytes, const uint8_t* lanes, size_t n_steps,
                               uint16_t* sums) {
  const uint8_t* const bytes = static_cast<const uint8_t*>(rows);
  switch (n_rows) {
    case 1:
      return count_rows<Op, 1>(bytes, row_bytes, lanes, n_steps, sums);
    case 2:
      return count_rows<Op, 2>(bytes, row_bytes, lanes, n_steps, sums);
    case 3:
      return count_rows<Op, 3>(bytes, row_bytes, lanes, n_steps, sums);
    default:
      return count_rows<Op, 4>(bytes, row_bytes, lanes, n_steps, sums);
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

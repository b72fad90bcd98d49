// Counts by NEON's cnt (bytes128.inl). A step takes 8 bits of K: the byte of a row is broadcast, combined with the
// bytes of 64 lanes, and the counts are added up as bytes: three instructions for 128 bit products. Before a byte
// overflows, after 31 steps, sums are widened to 16 bits.
namespace bitvit::BITVIT_ISA {
namespace {

BITVIT_INLINE size_t lane_steps(size_t n_bits) { return (n_bits + 7) / 8; }

BITVIT_INLINE size_t packed_lane_bytes(size_t n_bits, size_t n_lanes) {
  return lane_blocks(n_lanes) * lane_steps(n_bits) * kBlockLanes;
}

// row_of(lane): its bits, in words.
template <typename RowOf>
BITVIT_INLINE void pack_lanes(RowOf row_of, size_t n_bits, size_t n_lanes, uint8_t* out) {
  const size_t n_steps = lane_steps(n_bits);
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

// counts[r] = those of the steps begin..end - 1, at most kMaxByteSteps.
template <typename Op, size_t kRows>
BITVIT_INLINE void count_segment(const uint8_t* rows, size_t row_bytes, const uint8_t* lanes, size_t begin, size_t end,
                                 u8x16 (*counts)[kBlockVectors]) {
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
}

template <size_t kRows>
BITVIT_INLINE void add_segment(const u8x16 (*counts)[kBlockVectors], bool is_first, uint16_t* sums) {
  BITVIT_UNROLL
  for (size_t r = 0; r < kRows; ++r) {
    BITVIT_UNROLL
    for (size_t v = 0; v < kBlockVectors; ++v) {
      uint16_t* const out = sums + r * kBlockLanes + 16 * v;
      store_words(out, add_low(is_first ? u16x8{} : load_words(out), counts[r][v]),
                  add_high(is_first ? u16x8{} : load_words(out + 8), counts[r][v]));
    }
  }
}

// sums[r][lane] = popcount(row r op lane) for the 64 lanes of a block.
template <typename Op, size_t kRows>
BITVIT_INLINE void count_rows(const uint8_t* rows, size_t row_bytes, const uint8_t* lanes, size_t n_steps,
                              uint16_t* sums) {
  for (size_t begin = 0; begin < n_steps; begin += kMaxByteSteps) {
    const size_t end = n_steps - begin < kMaxByteSteps ? n_steps : begin + kMaxByteSteps;
    u8x16 counts[kRows][kBlockVectors];
    count_segment<Op, kRows>(rows, row_bytes, lanes, begin, end, counts);
    add_segment<kRows>(counts, begin == 0, sums);
  }
}

// For 1 to kRowsAtOnce rows.
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

// The same for kRowsAtOnce rows, handed to finish(r, v, low, high): the counts of the lanes 16 v... of row r. Those of
// the last segment are not stored.
template <typename Op, typename Finish>
BITVIT_INLINE void count_block_then(const void* rows, size_t row_bytes, const uint8_t* lanes, size_t n_steps,
                                    uint16_t* sums, Finish finish) {
  const uint8_t* const bytes = static_cast<const uint8_t*>(rows);
  u8x16 counts[kRowsAtOnce][kBlockVectors];
  size_t begin = 0;
  for (; n_steps - begin > kMaxByteSteps; begin += kMaxByteSteps) {
    count_segment<Op, kRowsAtOnce>(bytes, row_bytes, lanes, begin, begin + kMaxByteSteps, counts);
    add_segment<kRowsAtOnce>(counts, begin == 0, sums);
  }
  count_segment<Op, kRowsAtOnce>(bytes, row_bytes, lanes, begin, n_steps, counts);
  BITVIT_UNROLL
  for (size_t r = 0; r < kRowsAtOnce; ++r) {
    BITVIT_UNROLL
    for (size_t v = 0; v < kBlockVectors; ++v) {
      const uint16_t* const before = sums + r * kBlockLanes + 16 * v;
      finish(r, v, add_low(load_words(before), counts[r][v]), add_high(load_words(before + 8), counts[r][v]));
    }
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

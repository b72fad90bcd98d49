// Counts by looking them up (bytes128.inl): hosts with x86 processors have no instruction that counts the bits of
// bytes, and make about nine of i8x16.popcnt, but two of i8x16.swizzle. The way of kernels/nibble_avx2.inl: a step
// takes 4 bits of K and two rows. For the 4 bits a of a row and b of the other the table popcount(i ^ a) + 16
// popcount(i ^ b), or the same with &, i < 16, is one of 256 constants of 16 bytes, which a swizzle looks up for 16
// lanes. Three look-ups add up within the halves of a byte before these are taken apart: 13 instructions for 3 * 128
// bit products on x86, 10 on ARM hosts.
namespace bitvit::BITVIT_ISA {
namespace {

constexpr size_t kChunkSteps = 48;  // 3 words of a row: 48 * 4 <= 255, and a multiple of 3

// rows[a + 16 b][i] = popcount(i op a) + 16 popcount(i op b)
struct alignas(64) PairTable {
  uint8_t rows[256][16];
};

constexpr int bit_count(int x) { return (x & 1) + ((x >> 1) & 1) + ((x >> 2) & 1) + ((x >> 3) & 1); }

constexpr PairTable make_table(bool is_exclusive_or) {
  PairTable table{};
  for (int ab = 0; ab < 256; ++ab) {
    for (int i = 0; i < 16; ++i) {
      const int a = ab & 15, b = ab >> 4;
      const int low = bit_count(is_exclusive_or ? a ^ i : a & i), high = bit_count(is_exclusive_or ? b ^ i : b & i);
      table.rows[ab][i] = static_cast<uint8_t>(low + 16 * high);
    }
  }
  return table;
}

struct DifferingBits {
  static constexpr PairTable kTable = make_table(true);
};
struct CommonBits {
  static constexpr PairTable kTable = make_table(false);
};

BITVIT_INLINE size_t lane_steps(size_t n_bits) { return (n_bits + 3) / 4; }

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
    for (size_t k = 0; k < n_steps; ++k) column[k * kBlockLanes] = (bytes[k / 2] >> (k % 2 * 4)) & 15;
  }
}

// Words of two rows -> 16 places in the table for each: the 4 bits of both in a byte.
BITVIT_INLINE void expand_pair(const uint8_t* a, const uint8_t* b, size_t n_words, uint8_t* places) {
  for (size_t w = 0; w < n_words; ++w) {
    const u8x16 x = (u8x16)wasm_v128_load64_zero(a + 8 * w), y = (u8x16)wasm_v128_load64_zero(b + 8 * w);
    const u8x16 even = (x & 15) | (u8x16)((u16x8)(y & 15) << 4);
    const u8x16 odd = ((u8x16)((u16x8)x >> 4) & 15) | (y & 0xf0);
    const u8x16 both = __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    __builtin_memcpy(places + 16 * w, &both, sizeof(both));
  }
}

BITVIT_INLINE u8x16 look(u8x16 table, const uint8_t* lanes) {
  return (u8x16)wasm_i8x16_swizzle((v128_t)table, (v128_t)load_bytes(lanes));
}

BITVIT_INLINE void add_counts(u8x16 counts, bool is_first, uint16_t* sums) {
  store_words(sums, add_low(is_first ? u16x8{} : load_words(sums), counts),
              add_high(is_first ? u16x8{} : load_words(sums + 8), counts));
}

// Two rows with the 64 lanes of a block.
//
// Three look-ups s = a + 16 b are taken apart without separating b: `low` adds the bytes a, `high` the 16-bit words
// (s >> 4) = b_0 + 16 a_1 + 256 b_1 modulo 2^16 (indices: the bytes of the word), from which the sum of 16 a_1, known
// from `low`, is subtracted at the end.
template <typename Op>
BITVIT_INLINE void count_pair(const uint8_t* a, const uint8_t* b, const uint8_t* lanes, size_t n_steps,
                              uint16_t* sums_a, uint16_t* sums_b) {
  alignas(16) uint8_t places[kChunkSteps];
  for (size_t begin = 0; begin < n_steps; begin += kChunkSteps) {
    const size_t n = n_steps - begin < kChunkSteps ? n_steps - begin : kChunkSteps;
    expand_pair(a + begin / 2, b + begin / 2, (n + 15) / 16, places);
    const uint8_t* of_step = lanes + begin * kBlockLanes;
    u8x16 low[kBlockVectors];
    u16x8 high[kBlockVectors];
    BITVIT_UNROLL
    for (size_t v = 0; v < kBlockVectors; ++v) {
      low[v] = u8x16{};
      high[v] = u16x8{};
    }
    size_t i = 0;
    for (; i + 3 <= n; i += 3, of_step += 3 * kBlockLanes) {
      const u8x16 first = load_bytes(Op::kTable.rows[places[i]]), second = load_bytes(Op::kTable.rows[places[i + 1]]),
                  third = load_bytes(Op::kTable.rows[places[i + 2]]);
      BITVIT_UNROLL
      for (size_t v = 0; v < kBlockVectors; ++v) {
        const u8x16 s = look(first, of_step + 16 * v) + look(second, of_step + kBlockLanes + 16 * v) +
                        look(third, of_step + 2 * kBlockLanes + 16 * v);
        low[v] += s & 15;
        high[v] += (u16x8)s >> 4;
      }
    }
    for (; i < n; ++i, of_step += kBlockLanes) {
      const u8x16 table = load_bytes(Op::kTable.rows[places[i]]);
      BITVIT_UNROLL
      for (size_t v = 0; v < kBlockVectors; ++v) {
        const u8x16 s = look(table, of_step + 16 * v);
        low[v] += s & 15;
        high[v] += (u16x8)s >> 4;
      }
    }
    BITVIT_UNROLL
    for (size_t v = 0; v < kBlockVectors; ++v) {
      add_counts(low[v], begin == 0, sums_a + 16 * v);
      add_counts((u8x16)(high[v] - ((u16x8)low[v] >> 4 & 0x0ff0)), begin == 0, sums_b + 16 * v);
    }
  }
}

// sums[r][lane] = popcount(row r op lane) for the 64 lanes of a block; rows of whole words, a row without another
// beside it is taken twice.
template <typename Op>
BITVIT_INLINE void count_block(size_t n_rows, const void* rows, size_t row_bytes, const uint8_t* lanes, size_t n_steps,
                               uint16_t* sums) {
  const uint8_t* const bytes = static_cast<const uint8_t*>(rows);
  for (size_t r = 0; r < n_rows; r += 2) {
    const size_t other = r + 1 < n_rows ? r + 1 : r;
    count_pair<Op>(bytes + r * row_bytes, bytes + other * row_bytes, lanes, n_steps, sums + r * kBlockLanes,
                   sums + (r + 1) * kBlockLanes);
  }
}

// The same for kRowsAtOnce rows, handed to finish(r, v, low, high): the counts of the lanes 16 v... of row r.
template <typename Op, typename Finish>
BITVIT_INLINE void count_block_then(const void* rows, size_t row_bytes, const uint8_t* lanes, size_t n_steps,
                                    uint16_t* sums, Finish finish) {
  count_block<Op>(kRowsAtOnce, rows, row_bytes, lanes, n_steps, sums);
  for (size_t r = 0; r < kRowsAtOnce; ++r) {
    BITVIT_UNROLL
    for (size_t v = 0; v < kBlockVectors; ++v) {
      const uint16_t* const place = sums + r * kBlockLanes + 16 * v;
      finish(r, v, load_words(place), load_words(place + 8));
    }
  }
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

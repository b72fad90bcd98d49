// Channels in the lanes of the table look-up (kernels/lane_counts_wasm.inl): for each plane its "is +1" and "is -1"
// bits, D lanes each. The first plane of V has no zeros as a rule; then T_0 = popcount(A) - 2 popcount(A & Q_0), and
// only Q_0 takes lanes. Steps in which neither of two rows of masks has a bit are left out.
#include "kernels/bytes128.inl"
#include "kernels/value_product/combine_row.inl"
#include "kernels/value_product/mask_pairs.inl"

namespace bitvit::BITVIT_ISA {
namespace {

constexpr size_t kMaxByteKeys = 252;  // 63 steps; their counts fit in bytes
constexpr size_t kChunkWords = 3;     // of more keys at a time: 48 steps

size_t n_lanes(const ValueShape& shape) {
  return (2 * shape.n_planes - (shape.first_plane_is_sign ? 1 : 0)) * shape.head_dim;
}

size_t count_stride(const ValueShape& shape) { return lane_blocks(n_lanes(shape)) * kBlockLanes; }

size_t packed_bytes(const ValueShape& shape) { return packed_lane_bytes(shape.n_keys, n_lanes(shape)); }

void pack(const uint64_t* planes, const ValueShape& shape, size_t head, void* packed) {
  const size_t n_words = (shape.n_keys + 63) / 64;
  const auto row_of = [&](size_t lane) __attribute__((always_inline)) {
    const size_t d = lane % shape.head_dim;
    const size_t part = lane / shape.head_dim + (shape.first_plane_is_sign ? 1 : 0);  // P_0, Q_0, P_1, Q_1, ...
    return planes + (((part % 2 * shape.n_planes + part / 2) * shape.n_heads + head) * shape.head_dim + d) * n_words;
  };
  pack_lanes(row_of, shape.n_keys, n_lanes(shape), static_cast<uint8_t*>(packed));
}

// Counts of two queries [query][mask][lane]; the last lanes of a row may be read beyond its end.
size_t scratch_bytes(const ValueShape& shape) {
  return (2 * shape.n_masks * count_stride(shape) + 16) * sizeof(uint16_t);
}

// Steps in which one of two rows has a bit: their places in the table and their numbers.
struct Steps {
  size_t n;
  alignas(16) uint8_t places[64 + 3], numbers[64 + 3];
};

// Steps of n_words <= 4 words, rounded up to threes with steps that have no bits.
BITVIT_INLINE void find_steps(const uint64_t* a, const uint64_t* b, size_t n_words, Steps* steps) {
  alignas(16) uint8_t places[64];
  expand_pair(reinterpret_cast<const uint8_t*>(a), reinterpret_cast<const uint8_t*>(b), n_words, places);
  size_t n = 0;
  for (size_t i = 0; i < 16 * n_words; ++i) {
    steps->places[n] = places[i];
    steps->numbers[n] = static_cast<uint8_t>(i);
    n += places[i] != 0 ? 1 : 0;
  }
  for (; n % 3 != 0; ++n) steps->places[n] = steps->numbers[n] = 0;
  steps->n = n;
}

BITVIT_INLINE void keep_counts(u8x16 counts, bool, uint8_t* out) { __builtin_memcpy(out, &counts, sizeof(counts)); }
BITVIT_INLINE void keep_counts(u8x16 counts, bool is_first, uint16_t* out) { add_counts(counts, is_first, out); }

// Counts of two rows with kVectors vectors of a block.
template <size_t kVectors, typename Count>
BITVIT_INLINE void count_steps(const Steps& steps, const uint8_t* lanes, bool is_first, Count* out_a, Count* out_b) {
  u8x16 low[kVectors];
  u16x8 high[kVectors];
  BITVIT_UNROLL
  for (size_t v = 0; v < kVectors; ++v) {
    low[v] = u8x16{};
    high[v] = u16x8{};
  }
  for (size_t i = 0; i < steps.n; i += 3) {
    const u8x16 first = load_bytes(CommonBits::kTable.rows[steps.places[i]]),
                second = load_bytes(CommonBits::kTable.rows[steps.places[i + 1]]),
                third = load_bytes(CommonBits::kTable.rows[steps.places[i + 2]]);
    const uint8_t *const of_first = lanes + steps.numbers[i] * kBlockLanes,
                         *const of_second = lanes + steps.numbers[i + 1] * kBlockLanes,
                         *const of_third = lanes + steps.numbers[i + 2] * kBlockLanes;
    BITVIT_UNROLL
    for (size_t v = 0; v < kVectors; ++v) {
      const u8x16 s =
          look(first, of_first + 16 * v) + look(second, of_second + 16 * v) + look(third, of_third + 16 * v);
      low[v] += s & 15;
      high[v] += (u16x8)s >> 4;
    }
  }
  BITVIT_UNROLL
  for (size_t v = 0; v < kVectors; ++v) {
    keep_counts(low[v], is_first, out_a + 16 * v);
    keep_counts((u8x16)(high[v] - ((u16x8)low[v] >> 4 & 0x0ff0)), is_first, out_b + 16 * v);
  }
}

// Counts of two rows with all lanes.
template <typename Count>
BITVIT_INLINE void count_lanes(const Steps& steps, const uint8_t* lanes, size_t n_lanes, size_t block_bytes,
                               bool is_first, Count* a, Count* b) {
  size_t lane = 0;
  for (; lane + kBlockLanes <= n_lanes; lane += kBlockLanes, lanes += block_bytes) {
    count_steps<kBlockVectors>(steps, lanes, is_first, a + lane, b + lane);
  }
  for (; lane < n_lanes; lane += 16, lanes += 16) count_steps<1>(steps, lanes, is_first, a + lane, b + lane);
}

// Sixteen counts as 16-bit numbers.
struct Counts {
  i16x8 low, high;
};
BITVIT_INLINE Counts load_counts(const uint8_t* p) {
  const u8x16 x = load_bytes(p);
  return {(i16x8)add_low(u16x8{}, x), (i16x8)add_high(u16x8{}, x)};
}
BITVIT_INLINE Counts load_counts(const uint16_t* p) { return {(i16x8)load_words(p), (i16x8)load_words(p + 8)}; }

// Counts as bytes where all keys are taken at once, else as 16-bit numbers.
template <typename Count, bool kIsSign>
void product_of(const uint64_t* masks, const uint8_t* lanes, const ValueShape& shape, const float* row_scale,
                const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const size_t n_words = (shape.n_keys + 63) / 64, n_masks = shape.n_masks, width = shape.head_dim;
  const size_t stride = count_stride(shape), block_bytes = lane_steps(shape.n_keys) * kBlockLanes;
  const size_t chunk_words = sizeof(Count) == 1 ? n_words : kChunkWords;
  Count* const counts = static_cast<Count*>(scratch);
  Steps steps;
  for (size_t n = first; n < first + n_rows; n += 2) {
    const size_t n_queries = first + n_rows - n < 2 ? 1 : 2;
    int16_t ones[2 * kMaxMasks];
    for (size_t pair = 0; pair < n_masks; ++pair) {
      const uint64_t* bits[2];
      Count* out[2];
      for (size_t member = 0; member < 2; ++member) {
        const MaskRow row = mask_row(n_masks, pair, member);
        // The second of one query is the first once more.
        const size_t query = row.query < n_queries ? n + row.query : n;
        bits[member] = masks + ((row.mask * shape.n_heads + head) * shape.n_queries + query) * n_words;
        out[member] = counts + (row.query * n_masks + row.mask) * stride;
        int32_t count = 0;
        for (size_t w = 0; kIsSign && w < n_words; ++w) count += popcount(bits[member][w]);
        ones[row.query * n_masks + row.mask] = static_cast<int16_t>(count);
      }
      for (size_t w = 0; w < n_words; w += chunk_words) {
        find_steps(bits[0] + w, bits[1] + w, n_words - w < chunk_words ? n_words - w : chunk_words, &steps);
        count_lanes(steps, lanes + 16 * w * kBlockLanes, n_lanes(shape), block_bytes, w == 0, out[0], out[1]);
      }
    }
    for (size_t query = 0; query < n_queries; ++query) {
      const Count* const of_query = counts + query * n_masks * stride;
      const int16_t* const ones_of_query = ones + query * n_masks;
      combine_row(shape, row_scale + head, column_scale, y + ((n + query) * shape.n_heads + head) * width,
                  [=](size_t i, size_t j, size_t d) __attribute__((always_inline)) {
                    const Count* const row = of_query + i * stride + d;
                    if (kIsSign && j == 0) {
                      const i16x8 all = i16x8{} + ones_of_query[i];
                      const Counts negative = load_counts(row);
                      return to_floats(all - negative.low - negative.low, all - negative.high - negative.high);
                    }
                    const Count* const positive = row + (2 * j - (kIsSign ? 1 : 0)) * width;
                    const Counts p = load_counts(positive), q = load_counts(positive + width);
                    return to_floats(p.low - q.low, p.high - q.high);
                  });
    }
  }
}

void product(const uint64_t* masks, const void* packed, const ValueShape& shape, const float* row_scale,
             const float* column_scale, size_t head, size_t first, size_t n_rows, float* y, void* scratch) {
  const uint8_t* const lanes = static_cast<const uint8_t*>(packed);
  const bool is_small = shape.n_keys <= kMaxByteKeys, is_sign = shape.first_plane_is_sign;
  const auto run = is_small  ? is_sign ? product_of<uint8_t, true> : product_of<uint8_t, false>
                   : is_sign ? product_of<uint16_t, true>
                             : product_of<uint16_t, false>;
  run(masks, lanes, shape, row_scale, column_scale, head, first, n_rows, y, scratch);
}

}  // namespace
}  // namespace bitvit::BITVIT_ISA

#include "kernels/value_product/value_product.inl"

// BinaryExpansionKernels: sixteen outputs that are `group` apart share a block, so that a mean is the sum of `group`
// blocks, lane by lane. The first 16 groups of outputs are the first `group` blocks (a set), and so on.
#include "kernels/binary_gemm/binary_gemm.h"
#include "kernels/binary_gemm/multiply_avx512.inl"
#include "kernels/part_ranks.inl"

namespace bitvit::avx512 {
namespace {

constexpr size_t kExpansionRows = 32;  // at a time

size_t expansion_output_at(size_t place, size_t group) {
  const size_t block = place / kLanes, lane = place % kLanes;
  return (block / group * kLanes + lane) * group + block % group;
}

// Outputs after which both sets and `other` begin again.
constexpr size_t expansion_period(size_t other_width, size_t group) {
  return other_width > kLanes * group ? other_width : kLanes * group;
}

bool expansion_fits(const BinaryGemmShape& shape, size_t other_width, size_t group) {
  const size_t period = expansion_period(other_width, group);
  return (group == 4 || group == 8) && other_width % kLanes == 0 && period % other_width == 0 &&
         period % (kLanes * group) == 0 && shape.n_outputs % period == 0;
}

void reorder_packed(const void* packed, const BinaryGemmShape& shape, size_t group, void* reordered) {
  const size_t n_words = half_words(shape.n_inputs);
  const uint32_t* const from = static_cast<const uint32_t*>(packed);
  uint32_t* to = static_cast<uint32_t*>(reordered);
  for (size_t place = 0; place < shape.n_outputs; place += kLanes, to += n_words * kLanes) {
    for (size_t i = 0; i < kLanes; ++i) {
      const size_t output = expansion_output_at(place + i, group);
      const uint32_t* const lane = from + output / kLanes * n_words * kLanes + output % kLanes;
      for (size_t w = 0; w < n_words; ++w) to[w * kLanes + i] = lane[w * kLanes];
    }
  }
}

BinaryGemmShape rows_at_a_time(const BinaryGemmShape& shape) {
  return {shape.n_rows < kExpansionRows ? shape.n_rows : kExpansionRows, shape.n_inputs, shape.n_outputs};
}

// `other` in the order of the outputs, then that of a product.
size_t expansion_scratch_bytes(const BinaryGemmShape& shape, size_t other_width, size_t group) {
  return kExpansionRows * expansion_period(other_width, group) * sizeof(float) + scratch_bytes(rows_at_a_time(shape));
}

template <size_t kGroup>
BITVIT_INLINE void reorder_other(const float* other, size_t other_width, size_t n_rows, float* reordered) {
  const size_t period = expansion_period(other_width, kGroup);
  for (size_t r = 0; r < n_rows; ++r, other += other_width) {
    for (size_t o = 0; o < period; o += kLanes * kGroup, reordered += kLanes * kGroup) {
      f32x16 v[kGroup];
      BITVIT_UNROLL
      for (size_t i = 0; i < kGroup; ++i) v[i] = load(other + (o + kLanes * i) % other_width);
      part_ranks<kGroup, 1>(v);
      BITVIT_UNROLL
      for (size_t i = 0; i < kGroup; ++i) store(reordered + kLanes * i, v[i]);
    }
  }
}

// Bits of a row of a set: rank r of lane i is output kGroup i + r.
template <size_t kGroup>
struct SetBits {
  static constexpr size_t kWords = kGroup / 4, kWordLanes = kLanes / kWords;  // of each word of the result
  uint16_t of_rank[kGroup];

  BITVIT_INLINE void set(SetBits& bits, size_t rank, uint32_t mask) {
    bits.of_rank[rank] = static_cast<uint16_t>(mask);
  }

  BITVIT_INLINE void write(const SetBits& bits, const uint8_t* order, uint64_t* words) {
    uint64_t ranks[kWords];  // four each
    __builtin_memcpy(ranks, bits.of_rank, sizeof(ranks));
    if constexpr (kWords == 2) {  // eight lanes of all ranks each
      constexpr uint64_t kFirstLanes = 0x00ff00ff00ff00ff;
      const uint64_t low = ranks[0], high = ranks[1];
      ranks[0] = extract_bits(low, kFirstLanes) | extract_bits(high, kFirstLanes) << 32;
      ranks[1] = extract_bits(low, ~kFirstLanes) | extract_bits(high, ~kFirstLanes) << 32;
    }
    BITVIT_UNROLL
    for (size_t w = 0; w < kWords; ++w) words[w] = gather_bits(ranks[w], order);
  }
};

// What follows the product of sixteen outputs, from a place on.
template <bool kIsOneStep>
struct OutputEnd {
  wide_f32 offset, scale, bias;  // kIsOneStep: offset * scale, -2 * scale
  f32x16 before, slope, after, threshold;

  BITVIT_INLINE void read(OutputEnd& end, const BinaryExpansionParameters& p, size_t place) {
    end.offset = to_floats(load_wide(p.product.offset + place));
    end.scale = load_floats(p.product.scale + place);
    end.bias = load_floats(p.product.bias + place);
    if constexpr (kIsOneStep) {
      end.offset = end.offset * end.scale;
      end.scale = end.scale * -2.0f;
    }
    end.before = load(p.before + place);
    end.slope = load(p.slope + place);
    end.after = load(p.after + place);
    end.threshold = load(p.threshold + place);
  }

  BITVIT_INLINE f32x16 apply(const OutputEnd& end, const u32x16& differing, const f32x16& other) {
    const wide_f32 p = to_floats(differing);
    const wide_f32 scaled =
        kIsOneStep ? multiply_add(p, end.scale, end.offset) : subtract_twice(end.offset, p) * end.scale;
    const f32x16 t = to_lanes(scaled + end.bias) + other - end.before;
    return select_negative(t, end.slope * t, t) + end.after;
  }
};

// A set of rows and outputs: where its results go.
template <size_t kGroup>
struct SetResults {
  SetBits<kGroup> bits[kExpansionRows];
  float* sums;
  size_t sum_stride;
};

// Two ranks at a time, whose sums are then read and written once; the last ones make means of them.
template <size_t kGroup, bool kIsOneStep, size_t kWords, bool kIsFirst, bool kIsLast>
BITVIT_INLINE void expand_pair(const WordRows& rows, size_t n_rows, const uint32_t* lanes,
                               const BinaryExpansionParameters& p, size_t place, const float* others, size_t period,
                               SetResults<kGroup>& results, size_t rank) {
  using End = OutputEnd<kIsOneStep>;
  u32x16 words[2][kWords];
  End ends[2];
  BITVIT_UNROLL
  for (size_t i = 0; i < 2; ++i) {
    BITVIT_UNROLL
    for (size_t w = 0; w < kWords; ++w) words[i][w] = load_wide(lanes + (i * kWords + w) * kLanes);
    End::read(ends[i], p, place + i * kLanes);
  }
  for (size_t r = 0; r < n_rows; ++r) {
    const char* const row = rows.words + 4 * r * rows.stride;
    f32x16 v[2];
    BITVIT_UNROLL
    for (size_t i = 0; i < 2; ++i) {
      u32x16 differing = popcount_wide(words[i][0] ^ broadcast_half_word(row, 0));
      BITVIT_UNROLL
      for (size_t w = 1; w < kWords; ++w) differing += popcount_wide(words[i][w] ^ broadcast_half_word(row, w));
      v[i] = End::apply(ends[i], differing, load(others + r * period + i * kLanes));
      SetBits<kGroup>::set(results.bits[r], rank + i, less_bits(v[i], ends[i].threshold));
    }
    float* const place_of_sum = results.sums + r * results.sum_stride;
    const f32x16 sum = kIsFirst ? v[0] + v[1] : load(place_of_sum) + v[0] + v[1];
    // The same as a division by a power of two.
    store(place_of_sum, kIsLast ? sum * broadcast(1.0f / kGroup) : sum);
  }
}

template <size_t kGroup, bool kIsOneStep>
void expand_groups(const uint64_t* x, const uint32_t* lanes, const BinaryExpansionParameters& p, const float* other,
                   uint64_t* bits, float* mean, const BinaryGemmShape& shape, float* other_in_order, void* scratch) {
  using End = OutputEnd<kIsOneStep>;
  const size_t n_words = half_words(shape.n_inputs), set = kLanes * kGroup;
  const size_t period = expansion_period(p.other_width, kGroup), n_means = shape.n_outputs / kGroup;
  uint8_t order[64];
  for (size_t i = 0; i < 64; ++i) {
    order[i] = static_cast<uint8_t>(i % kGroup * SetBits<kGroup>::kWordLanes + i / kGroup);
  }
  const WordRows rows = prepare_rows(x, shape, scratch);
  reorder_other<kGroup>(other, p.other_width, shape.n_rows, other_in_order);
  for (size_t o = 0; o < shape.n_outputs; o += set) {
    SetResults<kGroup> results;
    results.sums = mean + o / kGroup;
    results.sum_stride = n_means;
    const auto expand_pairs = [&](auto n) __attribute__((always_inline)) {
      constexpr size_t kWords = decltype(n)::value;
      for (size_t rank = 0; rank < kGroup; rank += 2, lanes += 2 * kWords * kLanes) {
        const size_t place = o + rank * kLanes;
        const float* const others = other_in_order + place % period;
        if (rank == 0) {
          expand_pair<kGroup, kIsOneStep, kWords, true, false>(rows, shape.n_rows, lanes, p, place, others, period,
                                                               results, rank);
        } else if (rank + 2 < kGroup) {
          expand_pair<kGroup, kIsOneStep, kWords, false, false>(rows, shape.n_rows, lanes, p, place, others, period,
                                                                results, rank);
        } else {
          expand_pair<kGroup, kIsOneStep, kWords, false, true>(rows, shape.n_rows, lanes, p, place, others, period,
                                                               results, rank);
        }
      }
    };
    if (n_words == 2) {
      expand_pairs(WordCount<2>{});
    } else if (n_words == 4) {
      expand_pairs(WordCount<4>{});
    } else {
      for (size_t rank = 0; rank < kGroup; ++rank, lanes += n_words * kLanes) {
        const size_t place = o + rank * kLanes;
        const float* const others = other_in_order + place % period;
        End end;
        End::read(end, p, place);
        multiply_block(rows, lanes, shape, static_cast<int32_t*>(scratch),
                       [&](size_t r, const u32x16& differing) __attribute__((always_inline)) {
                         const f32x16 v = End::apply(end, differing, load(others + r * period));
                         SetBits<kGroup>::set(results.bits[r], rank, less_bits(v, end.threshold));
                         float* const place_of_sum = results.sums + r * n_means;
                         const f32x16 sum = rank == 0 ? v : load(place_of_sum) + v;
                         store(place_of_sum, rank + 1 == kGroup ? sum * broadcast(1.0f / kGroup) : sum);
                       });
      }
    }
    for (size_t r = 0; r < shape.n_rows; ++r) {
      SetBits<kGroup>::write(results.bits[r], order, bits + (r * shape.n_outputs + o) / 64);
    }
  }
}

void expand(const uint64_t* x, const void* reordered, const BinaryExpansionParameters& parameters, const float* other,
            uint64_t* bits, float* mean, const BinaryGemmShape& shape, void* scratch) {
  float* const other_in_order = static_cast<float*>(scratch);
  const size_t period = expansion_period(parameters.other_width, parameters.group);
  void* const product_scratch = other_in_order + kExpansionRows * period;
  const auto expand_rows = parameters.is_one_step
                               ? parameters.group == 8 ? expand_groups<8, true> : expand_groups<4, true>
                           : parameters.group == 8 ? expand_groups<8, false>
                                                   : expand_groups<4, false>;
  for (size_t r = 0; r < shape.n_rows; r += kExpansionRows) {
    const BinaryGemmShape part = rows_at_a_time({shape.n_rows - r, shape.n_inputs, shape.n_outputs});
    expand_rows(x + r * ((shape.n_inputs + 63) / 64), static_cast<const uint32_t*>(reordered), parameters,
                other + r * parameters.other_width, bits + r * shape.n_outputs / 64,
                mean + r * (shape.n_outputs / parameters.group), part, other_in_order, product_scratch);
  }
}

constexpr BinaryExpansionKernels kExpansionKernels = {expansion_fits, expansion_output_at, reorder_packed,
                                                      expansion_scratch_bytes, expand};

}  // namespace
}  // namespace bitvit::avx512

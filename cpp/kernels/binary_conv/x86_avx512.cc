#include "kernels/binary_conv/binary_conv.h"
#include "kernels/binary_conv/finish.inl"
#include "kernels/wide_avx512.h"

namespace bitvit::avx512 {
namespace {

BITVIT_INLINE i32_lanes count_differing(const uint32_t* x, const uint32_t* weight, size_t n_units) {
  u32x16 sum = {}, other = {};
  size_t u = 0;
  for (; u + 2 <= n_units; u += 2, weight += 32) {
    sum += popcount_wide(broadcast_wide(x[u]) ^ load_wide(weight));
    other += popcount_wide(broadcast_wide(x[u + 1]) ^ load_wide(weight + 16));
  }
  if (u < n_units) sum += popcount_wide(broadcast_wide(x[u]) ^ load_wide(weight));
  sum += other;
  i32_lanes result;
  __builtin_memcpy(&result, &sum, sizeof(result));
  return result;
}

// Runs: 64 outputs of four groups of 16 inputs, 16 bits an output, or 32 outputs of a group of 32 k inputs, 32 bits an
// output. Either way 128 bytes of weights a step, [block of outputs][tap][step of 32 inputs], which stay in registers
// along the run where a block has few of them.
constexpr size_t kMaxHeld = 9;  // steps

bool is_narrow(size_t group_inputs) { return group_inputs == 16; }

bool runs_fit(const BinaryConvShape& shape, size_t group_inputs) {
  if (is_narrow(group_inputs)) return shape.group_outputs == 16 && shape.n_groups % 4 == 0;
  return group_inputs % 32 == 0 && shape.group_outputs % 32 == 0;
}

size_t block_outputs(size_t group_inputs) { return is_narrow(group_inputs) ? 64 : 32; }
size_t tap_steps(size_t group_inputs) { return is_narrow(group_inputs) ? 1 : group_inputs / 32; }

size_t run_packed_bytes(const BinaryConvShape& shape, size_t group_inputs, size_t n_taps) {
  return shape.n_groups * shape.group_outputs / block_outputs(group_inputs) * n_taps * tap_steps(group_inputs) * 128;
}

void pack_runs(const uint64_t* weight, const BinaryConvShape& shape, size_t group_inputs, size_t n_taps, void* packed) {
  uint8_t* out = static_cast<uint8_t*>(packed);
  const size_t n_words = (group_inputs + 63) / 64, n_block = block_outputs(group_inputs), bytes = 128 / n_block;
  for (size_t o = 0; o < shape.n_groups * shape.group_outputs; o += n_block) {
    for (size_t t = 0; t < n_taps; ++t) {
      for (size_t step = 0; step < tap_steps(group_inputs); ++step, out += 128) {
        for (size_t i = 0; i < n_block; ++i) {
          const uint64_t* const row = weight + ((o + i) * n_taps + t) * n_words;
          __builtin_memcpy(out + i * bytes, reinterpret_cast<const uint8_t*>(row) + 4 * step, bytes);
        }
      }
    }
  }
}

BITVIT_INLINE void store_outputs(const u32x16& counts, size_t o, const int32_t* offset, const float* scale,
                                 const float* bias, float* y) {
  i32_lanes lanes;
  __builtin_memcpy(&lanes, &counts, sizeof(lanes));
  store(y + o, finish(lanes, offset + o, scale + o, bias + o));
}

// One block of outputs, from o on, of all cells. kSteps: n_taps * tap_steps where the weights are held, else 0.
template <bool kIsNarrow, size_t kSteps>
void multiply_block(const BinaryConvRun& run, const uint8_t* weight, size_t o, size_t first_byte, size_t steps_of_tap,
                    size_t n_outputs, const float* scale, const float* bias, float* y) {
  u32x16 held[kSteps != 0 ? 2 * kSteps : 1];
  if constexpr (kSteps != 0) {
    BITVIT_UNROLL
    for (size_t i = 0; i < 2 * kSteps; ++i) held[i] = load_wide(weight + 64 * i);
  }
  for (size_t cell = 0; cell < run.n_cells; ++cell, y += n_outputs) {
    u32x16 sums[2] = {};
    const auto add = [&](const uint8_t* bits, const u32x16& w0, const u32x16& w1) __attribute__((always_inline)) {
      if constexpr (kIsNarrow) {
        uint64_t groups;
        __builtin_memcpy(&groups, bits, sizeof(groups));
        sums[0] = add_u16(sums[0], popcount_u16(spread_u16<0>(groups) ^ w0));
        sums[1] = add_u16(sums[1], popcount_u16(spread_u16<1>(groups) ^ w1));
      } else {
        uint32_t group;
        __builtin_memcpy(&group, bits, sizeof(group));
        sums[0] += popcount_wide(broadcast_wide(group) ^ w0);
        sums[1] += popcount_wide(broadcast_wide(group) ^ w1);
      }
    };
    if constexpr (kSteps != 0) {  // a step is a tap
      BITVIT_UNROLL
      for (size_t t = 0; t < kSteps; ++t) {
        add(reinterpret_cast<const uint8_t*>(run.taps[t] + cell * run.steps[t]) + first_byte, held[2 * t],
            held[2 * t + 1]);
      }
    } else {
      const uint8_t* w = weight;
      for (size_t t = 0; t < run.n_taps; ++t) {
        const uint8_t* const bits = reinterpret_cast<const uint8_t*>(run.taps[t] + cell * run.steps[t]) + first_byte;
        for (size_t s = 0; s < steps_of_tap; ++s, w += 128) add(bits + 4 * s, load_wide(w), load_wide(w + 64));
      }
    }
    if constexpr (kIsNarrow) {
      store_outputs(widen_u16<0>(sums[0]), o, run.offset, scale, bias, y);
      store_outputs(widen_u16<1>(sums[0]), o + 16, run.offset, scale, bias, y);
      store_outputs(widen_u16<0>(sums[1]), o + 32, run.offset, scale, bias, y);
      store_outputs(widen_u16<1>(sums[1]), o + 48, run.offset, scale, bias, y);
    } else {
      store_outputs(sums[0], o, run.offset, scale, bias, y);
      store_outputs(sums[1], o + 16, run.offset, scale, bias, y);
    }
  }
}

void multiply_run(const BinaryConvRun& run, const void* packed, const BinaryConvShape& shape, size_t group_inputs,
                  const float* scale, const float* bias, float* y) {
  const uint8_t* weight = static_cast<const uint8_t*>(packed);
  const size_t n_outputs = shape.n_groups * shape.group_outputs, steps = tap_steps(group_inputs);
  const size_t n_block = block_outputs(group_inputs);
  const bool is_held = run.n_taps == kMaxHeld && steps == 1;
  const auto multiply_one = is_narrow(group_inputs) ? is_held ? multiply_block<true, kMaxHeld> : multiply_block<true, 0>
                            : is_held               ? multiply_block<false, kMaxHeld>
                                                    : multiply_block<false, 0>;
  for (size_t o = 0; o < n_outputs; o += n_block, weight += run.n_taps * steps * 128) {
    const size_t first_byte = o / shape.group_outputs * group_inputs / 8;
    multiply_one(run, weight, o, first_byte, steps, n_outputs, scale, bias, y);
  }
}

constexpr BinaryConvRunKernels kRunKernels = {runs_fit, run_packed_bytes, pack_runs, multiply_run};

}  // namespace
}  // namespace bitvit::avx512

#include "kernels/binary_conv/binary_conv.inl"

// The kernel of pointwise.h, once for every instruction set (kernels/vector.h).
#include "kernels/pointwise/pointwise.h"
#include "kernels/vector.h"

namespace bitvit::BITVIT_ISA {
namespace {

constexpr int kVectors = static_cast<int>(kPointwiseBlock / 16);

// x[i] = f(i, x[i]) where load(p, i) reads the lanes of an array that belong to x[i].
template <typename F>
BITVIT_INLINE void map_block(f32x16* x, F f) {
  BITVIT_UNROLL
  for (int i = 0; i < kVectors; ++i) x[i] = f(x[i], static_cast<size_t>(i) * 16);
}

template <typename F>
BITVIT_INLINE uint64_t bits_of_block(const f32x16* x, F f) {
  uint64_t word = 0;
  BITVIT_UNROLL
  for (int i = 0; i < kVectors; ++i) {
    word |= static_cast<uint64_t>(f(x[i], static_cast<size_t>(i) * 16)) << (16 * i);
  }
  return word;
}

#define BITVIT_LAMBDA __attribute__((always_inline))

void run(const float* x, const PointwiseLink* links, size_t n_links, size_t begin, size_t end, size_t width) {
  for (size_t r = begin; r < end; ++r) {
    for (size_t c = 0; c < width; c += kPointwiseBlock) {
      const size_t place = r * width + c;
      f32x16 block[kVectors];
      BITVIT_UNROLL
      for (int i = 0; i < kVectors; ++i) block[i] = load(x + place + 16 * i);
      for (const PointwiseLink* link = links; link != links + n_links; ++link) {
        switch (link->kind) {
          case PointwiseKind::kAdd: {
            const size_t other_width = link->other_width;
            const float* const other = link->other + r * other_width + (other_width == width ? c : c % other_width);
            map_block(block, [=](const f32x16& v, size_t i) BITVIT_LAMBDA { return v + load(other + i); });
            break;
          }
          case PointwiseKind::kAddRow: {
            const float* const value = link->parameters[0] + c;
            map_block(block, [=](const f32x16& v, size_t i) BITVIT_LAMBDA { return v + load(value + i); });
            break;
          }
          case PointwiseKind::kAffine: {
            const float *const scale = link->parameters[0] + c, *const bias = link->parameters[1] + c;
            map_block(block,
                      [=](const f32x16& v, size_t i) BITVIT_LAMBDA { return v * load(scale + i) + load(bias + i); });
            break;
          }
          case PointwiseKind::kRprelu: {
            const float *const before = link->parameters[0] + c, *const slope = link->parameters[1] + c;
            const float* const after = link->parameters[2] + c;
            map_block(block, [=](const f32x16& v, size_t i) BITVIT_LAMBDA {
              const f32x16 t = v - load(before + i);
              return select_negative(t, load(slope + i) * t, t) + load(after + i);
            });
            break;
          }
          case PointwiseKind::kSign: {
            const float* const threshold = link->parameters[0] + c;
            link->bits[place / 64] = bits_of_block(
                block, [=](const f32x16& v, size_t i) BITVIT_LAMBDA { return less_bits(v, load(threshold + i)); });
            break;
          }
          case PointwiseKind::kMask: {
            const float* const threshold = link->parameters[0] + c;
            link->bits[place / 64] = bits_of_block(
                block, [=](const f32x16& v, size_t i) BITVIT_LAMBDA { return less_bits(load(threshold + i), v); });
            break;
          }
        }
        if (link->out != nullptr) {
          BITVIT_UNROLL
          for (int i = 0; i < kVectors; ++i) store(link->out + place + 16 * i, block[i]);
        }
      }
    }
  }
}

}  // namespace

const PointwiseKernels& pointwise_kernels() {
  static constexpr PointwiseKernels kKernels = {run};
  return kKernels;
}

}  // namespace bitvit::BITVIT_ISA

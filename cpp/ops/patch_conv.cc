// patch_conv_u8, patch_conv_f32.
#include <cstring>

#include "ops/float_weight.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

constexpr size_t kPatchBlock = 8;  // patches that one thread does at a time

struct PatchGrid {
  size_t patch, n_columns, n_patches, n_channels, row_elements;

  // Index of the first element of row dy of patch n, whose patch * n_channels elements lie together.
  size_t RowStart(size_t n, size_t dy) const {
    return (n / n_columns * patch + dy) * row_elements + n % n_columns * patch * n_channels;
  }
};

PatchGrid ReadPatchGrid(const Operands& operands) {
  return {operands.Size("patch"), operands.Size("W/patch"), operands.Size("N"), operands.Size("C"),
          operands.Size("W*C")};
}

class PatchConvU8 final : public Operator {
 public:
  explicit PatchConvU8(const Operands& operands)
      : kernels_(operands.kernels()), grid_(ReadPatchGrid(operands)), n_outputs_(operands.Size("O")) {
    const size_t n_channels = grid_.n_channels, n_pixels = grid_.patch * grid_.patch;
    bias_ = operands.Floats("bias");
    const AlignedBuffer scale = operands.Floats("scale");
    const size_t n_weights = n_outputs_ * n_pixels;
    std::vector<uint8_t> of_channels(n_channels * n_weights);
    kernels_.rows.split_channels(operands.Parameter("weight").as<uint8_t>(), n_weights, n_channels, of_channels.data(),
                                 n_weights);
    zeros_ = operands.Zeros(n_outputs_ * sizeof(int32_t));
    for (size_t c = 0; c < n_channels; ++c) {
      AlignedBuffer scale_of_channel(n_outputs_ * sizeof(float));
      for (size_t o = 0; o < n_outputs_; ++o) {
        scale_of_channel.as<float>()[o] = scale.as<float>()[o * n_channels + c];
      }
      const auto pack = [&] {
        AlignedBuffer packed = AlignedBuffer::Unset(kernels_.byte_gemm.packed_bytes(n_pixels, n_outputs_));
        kernels_.byte_gemm.pack(reinterpret_cast<const int8_t*>(of_channels.data()) + c * n_weights, n_pixels,
                                n_outputs_, packed.data());
        return packed;
      };
      weight_.push_back(operands.Layout("weight", pack, c));
      scale_.push_back(std::move(scale_of_channel));
    }
  }

  size_t thread_scratch_bytes(size_t) const override {
    return PixelBytes() + kPatchBlock * AlignUp(n_outputs_, 16) * sizeof(int32_t);
  }

  void Run(const RunContext& context) const override {
    context.Parallel(grid_.n_patches, kPatchBlock, [&](size_t begin, size_t end, size_t thread) {
      for (size_t n = begin; n < end; n += kPatchBlock) {
        const size_t count = end - n < kPatchBlock ? end - n : kPatchBlock;
        RunBlock(context.input<uint8_t>(0), n, count, static_cast<std::byte*>(context.thread_scratch(thread)),
                 context.output<float>(0) + n * n_outputs_);
      }
    });
  }

 private:
  size_t PixelStride() const { return AlignUp(grid_.patch * grid_.patch); }
  size_t PixelBytes() const { return kPatchBlock * grid_.n_channels * PixelStride(); }

  // Patches n..n + count - 1.
  void RunBlock(const uint8_t* image, size_t n, size_t count, std::byte* scratch, float* y) const {
    uint8_t* const pixels = reinterpret_cast<uint8_t*>(scratch);  // [channel][patch][PixelStride]
    int32_t* const acc = reinterpret_cast<int32_t*>(scratch + PixelBytes());
    const size_t stride = PixelStride(), n_channels = grid_.n_channels, acc_stride = AlignUp(n_outputs_, 16);
    for (size_t r = 0; r < count; ++r) {
      for (size_t dy = 0; dy < grid_.patch; ++dy) {
        kernels_.rows.split_channels(image + grid_.RowStart(n + r, dy), grid_.patch, n_channels,
                                     pixels + r * stride + dy * grid_.patch, kPatchBlock * stride);
      }
      for (size_t c = 0; c < n_channels; ++c) {
        const size_t n_pixels = grid_.patch * grid_.patch;
        std::memset(pixels + (c * kPatchBlock + r) * stride + n_pixels, 0, stride - n_pixels);
      }
    }
    for (size_t c = 0; c < n_channels; ++c) {
      kernels_.byte_gemm.multiply(pixels + c * kPatchBlock * stride, stride, weight_[c].data(), acc, count,
                                  grid_.patch * grid_.patch, n_outputs_);
      for (size_t r = 0; r < count; ++r) {
        float* const row = y + r * n_outputs_;
        kernels_.rows.scaled_i32(acc + r * acc_stride, zeros_.as<int32_t>(), scale_[c].as<float>(),
                                 c == 0 ? bias_.as<float>() : row, row, n_outputs_);
      }
    }
  }

  const Kernels& kernels_;
  PatchGrid grid_;
  size_t n_outputs_;
  AlignedBuffer bias_, zeros_;
  std::vector<AlignedBuffer> weight_, scale_;  // by channel
};

class PatchConvF32 final : public Operator {
 public:
  explicit PatchConvF32(const Operands& operands)
      : kernels_(operands.kernels().float_gemm),
        grid_(ReadPatchGrid(operands)),
        n_outputs_(operands.Size("O")),
        n_inputs_(operands.Size("patch*patch*C")),
        weight_(PackFloatWeight(operands, n_outputs_, n_inputs_)),
        bias_(operands.Floats("bias")) {}

  size_t thread_scratch_bytes(size_t) const override { return kPatchBlock * n_inputs_ * sizeof(float); }

  void Run(const RunContext& context) const override {
    const float* const image = context.input<float>(0);
    const size_t row_elements = grid_.patch * grid_.n_channels;
    context.Parallel(grid_.n_patches, kPatchBlock, [&](size_t begin, size_t end, size_t thread) {
      float* const x = static_cast<float*>(context.thread_scratch(thread));
      for (size_t n = begin; n < end; n += kPatchBlock) {
        const size_t count = end - n < kPatchBlock ? end - n : kPatchBlock;
        for (size_t r = 0; r < count; ++r) {
          for (size_t dy = 0; dy < grid_.patch; ++dy) {
            std::memcpy(x + r * n_inputs_ + dy * row_elements, image + grid_.RowStart(n + r, dy),
                        row_elements * sizeof(float));
          }
        }
        kernels_.linear(x, n_inputs_, weight_.as<float>(), bias_.as<float>(), context.output<float>(0) + n * n_outputs_,
                        count, n_inputs_, n_outputs_);
      }
    });
  }

 private:
  const FloatGemmKernels& kernels_;
  PatchGrid grid_;
  size_t n_outputs_, n_inputs_;
  AlignedBuffer weight_, bias_;
};

// What both have in common.
void DeclarePatches(OperatorDeclaration& op) {
  // 256 * 256 * 255 * 128 < 2^31: the sum over one channel of a patch fits int32.
  op.Integer("patch", "1", "256").Divides("patch", "H").Divides("patch", "W").Let("N", "(H/patch)*(W/patch)");
  op.Parameter("bias", "f32 [O]").Output("y", "f32 [N,O]");
}

}  // namespace

BITVIT_OPERATOR(patch_conv_u8) {
  op.Input("x", "u8 [H,W,C]").Parameter("weight", "i8 [O,patch,patch,C]").Parameter("scale", "f32 [O,C]");
  DeclarePatches(op);
  op.ScratchBytes("8*(C*((patch*patch+63)/64*64)+4*(O+16))");
  op.Costs("0", "N*O*patch*patch*C", "N*O*C");
  op.MakeWith<PatchConvU8>();
}

BITVIT_OPERATOR(patch_conv_f32) {
  op.Input("x", "f32 [H,W,C]").Parameter("weight", "f32 [O,patch,patch,C]");
  DeclarePatches(op);
  op.ScratchBytes("32*patch*patch*C").FloatOperations("N*O*patch*patch*C");
  op.MakeWith<PatchConvF32>();
}

}  // namespace bitvit

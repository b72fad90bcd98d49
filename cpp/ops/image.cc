// The ends of a network that are not binary: image_to_float, patch_conv_u8, patch_conv_f32, linear_f32, linear_i8.
#include <cstring>

#include "ops/registry.h"

namespace bitvit {
namespace {

constexpr size_t kPatchBlock = 8;  // patches or rows that one thread does at a time

// An image row is treated as one row of W * C numbers, the parameters repeated W times.
class ImageToFloat final : public Operator {
 public:
  explicit ImageToFloat(SpecReader& reader) : kernels_(reader.kernels().rows) {
    reader.InputCount(1, 1);
    const Shape& shape = reader.Input(0, {ValueType::kU8}, 3);
    reader.Writes({{ValueType::kF32, shape}});
    n_rows_ = shape[0];
    width_ = shape[1] * shape[2];
    mul_ = Repeat(reader.Floats("mul", {{shape[2]}}), shape[2]);
    add_ = Repeat(reader.Floats("add", {{shape[2]}}), shape[2]);
  }

  void Run(const RunContext& context) const override {
    context.Parallel(n_rows_, 4, [&](size_t begin, size_t end, size_t) {
      kernels_.affine_u8(context.input<uint8_t>(0) + begin * width_, mul_.as<float>(), add_.as<float>(),
                         context.output<float>(0) + begin * width_, end - begin, width_);
    });
  }

 private:
  AlignedBuffer Repeat(const AlignedBuffer& values, size_t n_channels) const {
    AlignedBuffer repeated((width_ + 16) * sizeof(float));
    for (size_t i = 0; i < width_; ++i) repeated.as<float>()[i] = values.as<float>()[i % n_channels];
    return repeated;
  }

  const RowsKernels& kernels_;
  size_t n_rows_, width_;
  AlignedBuffer mul_, add_;
};

struct PatchGrid {
  size_t patch, n_columns, n_patches, n_channels, row_elements;

  // Index of the first element of row dy of patch n, whose patch * n_channels elements lie together.
  size_t RowStart(size_t n, size_t dy) const {
    return (n / n_columns * patch + dy) * row_elements + n % n_columns * patch * n_channels;
  }
};

PatchGrid ReadPatchGrid(SpecReader& reader, ValueType type) {
  reader.InputCount(1, 1);
  const Shape& shape = reader.Input(0, {type}, 3);
  const size_t patch = reader.Integer("patch", 1, 256);
  reader.Require(shape[0] % patch == 0 && shape[1] % patch == 0,
                 "an input of " + std::to_string(shape[0]) + " x " + std::to_string(shape[1]) +
                     " cannot be cut into patches of " + std::to_string(patch));
  return {patch, shape[1] / patch, shape[0] / patch * (shape[1] / patch), shape[2], shape[1] * shape[2]};
}

class PatchConvU8 final : public Operator {
 public:
  explicit PatchConvU8(SpecReader& reader)
      : kernels_(reader.kernels()), grid_(ReadPatchGrid(reader, ValueType::kU8)), n_outputs_(reader.LengthOf("bias")) {
    const size_t n_channels = grid_.n_channels, n_pixels = grid_.patch * grid_.patch;
    bias_ = reader.Floats("bias", {{n_outputs_}});
    const AlignedBuffer scale = reader.Floats("scale", {{n_outputs_, n_channels}});
    const int8_t* const weight =
        reader.Parameter("weight", DataType::kI8, {{n_outputs_, grid_.patch, grid_.patch, n_channels}}).as<int8_t>();
    reader.Writes({{ValueType::kF32, {grid_.n_patches, n_outputs_}}});
    zeros_ = AlignedBuffer(n_outputs_ * sizeof(int32_t));
    std::vector<int8_t> of_channel(n_outputs_ * n_pixels);
    for (size_t c = 0; c < n_channels; ++c) {
      AlignedBuffer packed(kernels_.byte_gemm.packed_bytes(n_pixels, n_outputs_));
      AlignedBuffer scale_of_channel(n_outputs_ * sizeof(float));
      for (size_t o = 0; o < n_outputs_; ++o) {
        scale_of_channel.as<float>()[o] = scale.as<float>()[o * n_channels + c];
        for (size_t i = 0; i < n_pixels; ++i) {
          of_channel[o * n_pixels + i] = weight[(o * n_pixels + i) * n_channels + c];
        }
      }
      kernels_.byte_gemm.pack(of_channel.data(), n_pixels, n_outputs_, packed.data());
      weight_.push_back(std::move(packed));
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
      for (size_t c = 0; c < n_channels; ++c) {
        uint8_t* out = pixels + (c * kPatchBlock + r) * stride;
        for (size_t dy = 0; dy < grid_.patch; ++dy, out += grid_.patch) {
          const uint8_t* const row = image + grid_.RowStart(n + r, dy) + c;
          for (size_t dx = 0; dx < grid_.patch; ++dx) out[dx] = row[dx * n_channels];
        }
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

// Weights [O][K] in the layout of kernels/float_gemm/float_gemm.h.
AlignedBuffer PackFloatWeight(const float* weight, size_t n_outputs, size_t n_inputs) {
  AlignedBuffer packed(AlignUp(n_outputs, 16) * n_inputs * sizeof(float));
  for (size_t o = 0; o < n_outputs; ++o) {
    for (size_t k = 0; k < n_inputs; ++k) {
      packed.as<float>()[(o / 16 * n_inputs + k) * 16 + o % 16] = weight[o * n_inputs + k];
    }
  }
  return packed;
}

class PatchConvF32 final : public Operator {
 public:
  explicit PatchConvF32(SpecReader& reader)
      : kernels_(reader.kernels().float_gemm),
        grid_(ReadPatchGrid(reader, ValueType::kF32)),
        n_outputs_(reader.LengthOf("bias")),
        n_inputs_(grid_.patch * grid_.patch * grid_.n_channels) {
    bias_ = reader.Floats("bias", {{n_outputs_}});
    const AlignedBuffer weight = reader.Floats("weight", {{n_outputs_, grid_.patch, grid_.patch, grid_.n_channels}}, 0);
    weight_ = PackFloatWeight(weight.as<float>(), n_outputs_, n_inputs_);
    reader.Writes({{ValueType::kF32, {grid_.n_patches, n_outputs_}}});
  }

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

class LinearF32 final : public Operator {
 public:
  explicit LinearF32(SpecReader& reader) : kernels_(reader.kernels().float_gemm), n_outputs_(reader.LengthOf("bias")) {
    reader.InputCount(1, 1);
    const Shape& shape = reader.Input(0, {ValueType::kF32}, 2);
    n_rows_ = shape[0];
    n_inputs_ = shape[1];
    bias_ = reader.Floats("bias", {{n_outputs_}});
    const AlignedBuffer weight = reader.Floats("weight", {{n_outputs_, n_inputs_}}, 0);
    weight_ = PackFloatWeight(weight.as<float>(), n_outputs_, n_inputs_);
    reader.Writes({{ValueType::kF32, {n_rows_, n_outputs_}}});
  }

  void Run(const RunContext& context) const override {
    context.Parallel(n_rows_, 4, [&](size_t begin, size_t end, size_t) {
      kernels_.linear(context.input<float>(0) + begin * n_inputs_, n_inputs_, weight_.as<float>(), bias_.as<float>(),
                      context.output<float>(0) + begin * n_outputs_, end - begin, n_inputs_, n_outputs_);
    });
  }

 private:
  const FloatGemmKernels& kernels_;
  size_t n_rows_, n_inputs_, n_outputs_;
  AlignedBuffer weight_, bias_;
};

// Levels are stored as q + 128, so that they are unsigned; the constant 128 * sum(w) is subtracted again.
class LinearI8 final : public Operator {
 public:
  explicit LinearI8(SpecReader& reader) : kernels_(reader.kernels()), n_outputs_(reader.LengthOf("bias")) {
    reader.InputCount(1, 1);
    const Shape& shape = reader.Input(0, {ValueType::kF32}, 2);
    n_rows_ = shape[0];
    n_inputs_ = shape[1];
    reader.Require(n_inputs_ <= kByteGemmMaxInputs, std::to_string(n_inputs_) + " inputs, at most " +
                                                        std::to_string(kByteGemmMaxInputs) + " are allowed");
    bias_ = reader.Floats("bias", {{n_outputs_}});
    scale_ = reader.Floats("scale", {{n_outputs_}});
    shift_ = reader.Floats("shift", {{n_inputs_}});
    step_ = reader.Floats("step", {{1}}).as<float>()[0];
    reader.RequireContent(step_ > 0, "parameter 'step' must be positive");
    const int8_t* const weight = reader.Parameter("weight", DataType::kI8, {{n_outputs_, n_inputs_}}).as<int8_t>();
    reader.Writes({{ValueType::kF32, {n_rows_, n_outputs_}}});
    weight_ = AlignedBuffer(kernels_.byte_gemm.packed_bytes(n_inputs_, n_outputs_));
    kernels_.byte_gemm.pack(weight, n_inputs_, n_outputs_, weight_.data());
    offset_ = AlignedBuffer(n_outputs_ * sizeof(int32_t));
    for (size_t o = 0; o < n_outputs_; ++o) {
      int32_t sum = 0;
      for (size_t k = 0; k < n_inputs_; ++k) sum += weight[o * n_inputs_ + k];
      offset_.as<int32_t>()[o] = 128 * sum;
    }
  }

  size_t thread_scratch_bytes(size_t) const override {
    return kPatchBlock * (AlignUp(n_inputs_) + AlignUp(n_outputs_, 16) * sizeof(int32_t));
  }

  void Run(const RunContext& context) const override {
    const size_t stride = AlignUp(n_inputs_), acc_stride = AlignUp(n_outputs_, 16);
    context.Parallel(n_rows_, 1, [&](size_t begin, size_t end, size_t thread) {
      uint8_t* const levels = static_cast<uint8_t*>(context.thread_scratch(thread));
      int32_t* const acc = reinterpret_cast<int32_t*>(levels + kPatchBlock * stride);
      for (size_t n = begin; n < end; n += kPatchBlock) {
        const size_t count = end - n < kPatchBlock ? end - n : kPatchBlock;
        for (size_t r = 0; r < count; ++r) {
          uint8_t* const row = levels + r * stride;
          std::memset(row + n_inputs_, 0, stride - n_inputs_);
          kernels_.rows.quantize(context.input<float>(0) + (n + r) * n_inputs_, shift_.as<float>(), step_, row,
                                 n_inputs_);
        }
        kernels_.byte_gemm.multiply(levels, stride, weight_.data(), acc, count, n_inputs_, n_outputs_);
        for (size_t r = 0; r < count; ++r) {
          kernels_.rows.scaled_i32(acc + r * acc_stride, offset_.as<int32_t>(), scale_.as<float>(), bias_.as<float>(),
                                   context.output<float>(0) + (n + r) * n_outputs_, n_outputs_);
        }
      }
    });
  }

 private:
  const Kernels& kernels_;
  size_t n_rows_, n_inputs_, n_outputs_;
  float step_;
  AlignedBuffer weight_, shift_, scale_, bias_, offset_;
};

}  // namespace

std::unique_ptr<Operator> MakeImageToFloat(SpecReader& reader) { return std::make_unique<ImageToFloat>(reader); }
std::unique_ptr<Operator> MakePatchConvU8(SpecReader& reader) { return std::make_unique<PatchConvU8>(reader); }
std::unique_ptr<Operator> MakePatchConvF32(SpecReader& reader) { return std::make_unique<PatchConvF32>(reader); }
std::unique_ptr<Operator> MakeLinearF32(SpecReader& reader) { return std::make_unique<LinearF32>(reader); }
std::unique_ptr<Operator> MakeLinearI8(SpecReader& reader) { return std::make_unique<LinearI8>(reader); }

}  // namespace bitvit

// binary_linear, binary_linear_threshold.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/bit_rows.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

constexpr size_t kRowGrain = 8;

size_t PaddedOutputs(size_t n_outputs) { return AlignUp(n_outputs, kBinaryGemmBlock); }

// Weights and shape, the same for both operators.
class BinaryProduct : public Operator {
 public:
  explicit BinaryProduct(const Operands& operands)
      : kernels_(operands.kernels().binary_gemm), shape_{operands.Size("N"), operands.Size("K"), operands.Size("O")} {
    packed_ = operands.Layout("weight", [&] {
      AlignedBuffer packed = AlignedBuffer::Unset(kernels_.packed_bytes(shape_.n_inputs, shape_.n_outputs));
      kernels_.pack(operands.Signs("weight", shape_.n_inputs).words(), shape_.n_inputs, shape_.n_outputs,
                    packed.data());
      return packed;
    });
  }

 protected:
  size_t GemmScratchBytes(size_t n_parts) const {
    const size_t n_grains = (shape_.n_rows + kRowGrain - 1) / kRowGrain;
    BinaryGemmShape part = shape_;
    part.n_rows = n_parts == 1 ? shape_.n_rows : (n_grains + n_parts - 1) / n_parts * kRowGrain;
    return AlignUp(kernels_.scratch_bytes(part));
  }

  const BinaryGemmKernels& kernels_;
  BinaryGemmShape shape_;
  AlignedBuffer packed_;
};

class BinaryLinear final : public BinaryProduct {
 public:
  explicit BinaryLinear(const Operands& operands)
      : BinaryProduct(operands), is_mask_(operands.input(0).type == ValueType::kMask) {
    const size_t n_outputs = shape_.n_outputs, padding = PaddedOutputs(n_outputs) - n_outputs;
    scale_ = operands.Floats("scale", padding);
    bias_ = operands.Floats("bias", padding);
    offset_ = AlignedBuffer(PaddedOutputs(n_outputs) * sizeof(int32_t));
    int32_t* const offset = offset_.as<int32_t>();
    std::fill_n(offset, n_outputs, static_cast<int32_t>(shape_.n_inputs));
    if (is_mask_) {
      const SignRows weight = operands.Signs("weight", shape_.n_inputs);
      for (size_t o = 0; o < n_outputs; ++o) offset[o] = -weight.CountOnes(o, o + 1);
    }
  }

  size_t thread_scratch_bytes(size_t n_parts) const override {
    if (!is_expanded_) return GemmScratchBytes(n_parts);
    return AlignUp(kernels_.expansion.scratch_bytes(shape_, expansion_.other_width, expansion_.group));
  }

  bool Add() override {
    has_sum_ = true;
    return true;
  }

  bool Expand(const Expansion& expansion) override {
    const BinaryExpansionKernels& kernels = kernels_.expansion;
    if (is_mask_ || kernels.fits == nullptr) return false;
    if (!kernels.fits(shape_, expansion.other_width, expansion.group)) return false;
    AlignedBuffer reordered(packed_.size_bytes());
    kernels.reorder(packed_.data(), shape_, expansion.group, reordered.data());
    packed_ = reordered;
    Reorder(expansion.group, offset_.as<int32_t>(), offset_);
    Reorder(expansion.group, scale_.as<float>(), scale_);
    Reorder(expansion.group, bias_.as<float>(), bias_);
    for (size_t i = 0; i < 3; ++i) Reorder(expansion.group, expansion.rprelu[i], rprelu_[i]);
    Reorder(expansion.group, expansion.threshold, threshold_);
    expansion_ = {Parameters(),           IsOneStep(),
                  rprelu_[0].as<float>(), rprelu_[1].as<float>(),
                  rprelu_[2].as<float>(), threshold_.as<float>(),
                  expansion.other_width,  expansion.group};
    is_expanded_ = true;
    return true;
  }

  void Run(const RunContext& context) const override {
    if (is_expanded_) return RunExpansion(context);
    const BinaryLinearParameters parameters = Parameters();
    context.Parallel(shape_.n_rows, kRowGrain, [&](size_t begin, size_t end, size_t thread) {
      const size_t first = begin * shape_.n_outputs;
      kernels_.linear(context.input<uint64_t>(0) + begin * BitWords(shape_.n_inputs), packed_.data(), parameters,
                      has_sum_ ? context.input<float>(1) + first : nullptr, context.output<float>(0) + first,
                      shape_.n_outputs, {end - begin, shape_.n_inputs, shape_.n_outputs},
                      context.thread_scratch(thread));
    });
  }

 private:
  BinaryLinearParameters Parameters() const {
    return {offset_.as<int32_t>(), is_mask_ ? 1 : -2, scale_.as<float>(), bias_.as<float>()};
  }

  // BinaryExpansionParameters::is_one_step
  bool IsOneStep() const {
    for (size_t o = 0; o < shape_.n_outputs; ++o) {
      const float offset = static_cast<float>(offset_.as<int32_t>()[o]), scale = scale_.as<float>()[o];
      const float bias = bias_.as<float>()[o], product = offset * scale;
      const bool is_exact = std::isfinite(product) && std::isfinite(2 * scale) &&
                            static_cast<double>(product) == static_cast<double>(offset) * static_cast<double>(scale);
      if (!is_exact || (bias == 0 && std::signbit(bias))) return false;
    }
    return true;
  }

  // Writes the outputs' numbers to `to` in the order of the expansion. `from` may be what `to` held.
  template <typename T>
  void Reorder(size_t group, const T* from, AlignedBuffer& to) const {
    const AlignedBuffer reordered(shape_.n_outputs * sizeof(T));
    for (size_t i = 0; i < shape_.n_outputs; ++i) {
      reordered.as<T>()[i] = from[kernels_.expansion.output_at(i, group)];
    }
    to = reordered;
  }

  void RunExpansion(const RunContext& context) const {
    const size_t n_outputs = shape_.n_outputs, n_means = n_outputs / expansion_.group;
    context.Parallel(shape_.n_rows, kRowGrain, [&](size_t begin, size_t end, size_t thread) {
      kernels_.expansion.run(context.input<uint64_t>(0) + begin * BitWords(shape_.n_inputs), packed_.data(), expansion_,
                             context.input<float>(1) + begin * expansion_.other_width,
                             context.output<uint64_t>(0) + begin * n_outputs / 64,
                             context.output<float>(1) + begin * n_means, {end - begin, shape_.n_inputs, n_outputs},
                             context.thread_scratch(thread));
    });
  }

  AlignedBuffer scale_, bias_, offset_;
  bool is_mask_;
  bool is_expanded_ = false, has_sum_ = false;
  AlignedBuffer rprelu_[3], threshold_;
  BinaryExpansionParameters expansion_ = {};
};

class BinaryLinearThreshold final : public BinaryProduct {
 public:
  explicit BinaryLinearThreshold(const Operands& operands) : BinaryProduct(operands), rows_(operands.output(0)) {
    const int16_t* const low = operands.Parameter("low").as<int16_t>();
    const int16_t* const high = operands.Parameter("high").as<int16_t>();
    const uint8_t* const flip = operands.Parameter("flip").as<uint8_t>();
    const size_t n_padded = PaddedOutputs(shape_.n_outputs);
    low_ = AlignedBuffer(n_padded * sizeof(uint16_t));
    range_ = AlignedBuffer(n_padded * sizeof(uint16_t));
    flip_ = AlignedBuffer(n_padded / 8);
    std::memset(low_.data(), 0xff, n_padded * sizeof(uint16_t));
    for (size_t o = 0; o < shape_.n_outputs; ++o) {
      const int first = low[o] < 0 ? 0 : low[o];
      if (first <= high[o]) {  // else never inside: as the padding
        low_.as<uint16_t>()[o] = static_cast<uint16_t>(first);
        range_.as<uint16_t>()[o] = static_cast<uint16_t>(high[o] - first);
      }
      flip_.as<uint64_t>()[o / 64] |= static_cast<uint64_t>(flip[o]) << (o % 64);
    }
  }

  size_t thread_scratch_bytes(size_t n_parts) const override {
    return GemmScratchBytes(n_parts) + rows_.scratch_bytes();
  }

  void Run(const RunContext& context) const override {
    const BinaryThresholdParameters parameters = {low_.as<uint16_t>(), range_.as<uint16_t>(), flip_.as<uint64_t>()};
    const size_t gemm_bytes = GemmScratchBytes(context.n_parts());
    context.Parallel(shape_.n_rows, kRowGrain, [&](size_t begin, size_t end, size_t thread) {
      std::byte* const scratch = static_cast<std::byte*>(context.thread_scratch(thread));
      rows_.Write(begin, end, context.output<uint64_t>(0), scratch + gemm_bytes,
                  [&](size_t first, size_t last, uint64_t* bits) {
                    kernels_.threshold(context.input<uint64_t>(0) + first * BitWords(shape_.n_inputs), packed_.data(),
                                       parameters, bits, {last - first, shape_.n_inputs, shape_.n_outputs}, scratch);
                  });
    });
  }

 private:
  BitRows rows_;
  AlignedBuffer low_, range_, flip_;
};

Status CheckFlip(Operands& operands) {
  const Tensor& flip = operands.Parameter("flip");
  uint8_t all = 0;
  for (size_t o = 0, n = flip.n_elements(); o < n; ++o) all |= flip.as<uint8_t>()[o];
  if (all <= 1) return {};
  return operands.Fail(ErrorCode::kTensorContent, "parameter 'flip' must hold only 0 and 1");
}

}  // namespace

static_assert(kBinaryGemmMaxInputs == 32767);

BITVIT_OPERATOR(binary_linear) {
  op.Input("x", "sign|mask [N,K]").Output("y", "f32 [N,O]").AtMost("K", "32767");
  op.Parameter("weight", "bits [O,K]").Parameter("scale", "f32 [O]").Parameter("bias", "f32 [O]");
  op.RowWise().Tiled().Foldable().ScratchBytes("32*(N+8)*((K+63)/64)+80*O+16384").Costs("N*O*K", "0", "N*O");
  op.MakeWith<BinaryLinear>();
}

BITVIT_OPERATOR(binary_linear_threshold) {
  op.Input("x", "sign|mask [N,K]").Output("bits", "sign|mask [N,O] or heads").AtMost("K", "32767");
  op.Parameter("weight", "bits [O,K]");
  op.Parameter("low", "i16 [O]").Parameter("high", "i16 [O]").Parameter("flip", "u8 [O]");
  op.RowWise().Tiled().ScratchBytes("32*(N+8)*((K+63)/64)+16*O+16384").Costs("N*O*K", "0", "0");
  op.check = CheckFlip;
  op.MakeWith<BinaryLinearThreshold>();
}

}  // namespace bitvit

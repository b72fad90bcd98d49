// sign, mask, layer_norm_sign, sign_statistics, mask_statistics.
#include "ops/bit_rows.h"
#include "ops/registry.h"

namespace bitvit {
namespace {

constexpr size_t kRowGrain = 8;

class BitsOperator final : public Operator {
 public:
  enum class Rule { kSign, kMask, kLayerNormSign, kSignStatistics, kMaskStatistics };

  BitsOperator(const SpecReader& reader, Rule rule)
      : kernels_(reader.kernels().rows),
        rule_(rule),
        rows_(reader.spec().outputs[0]),
        n_rows_(reader.spec().inputs[0].shape[0]),
        width_(reader.spec().inputs[0].shape[1]) {}

  size_t thread_scratch_bytes(size_t) const override { return rows_.scratch_bytes(); }

  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    const float* const stats = has_statistics() ? context.input<float>(1) : nullptr;
    context.Parallel(n_rows_, kRowGrain, [&](size_t begin, size_t end, size_t thread) {
      rows_.Write(
          begin, end, context.output<uint64_t>(0), context.thread_scratch(thread),
          [&](size_t first, size_t last, uint64_t* bits) { Apply(x + first * width_, stats, bits, last - first); });
    });
  }

  bool IsPointwise(PointwiseLink* link) const override {
    if (!rows_.is_flat() || width_ % kPointwiseBlock != 0) return false;
    if (rule_ != Rule::kSign && rule_ != Rule::kMask) return false;
    link->kind = rule_ == Rule::kSign ? PointwiseKind::kSign : PointwiseKind::kMask;
    link->parameters[0] = threshold.as<float>();
    return true;
  }

  AlignedBuffer threshold, weight;
  float eps = 0;

 private:
  bool has_statistics() const { return rule_ == Rule::kSignStatistics || rule_ == Rule::kMaskStatistics; }

  void Apply(const float* x, const float* stats, uint64_t* bits, size_t n_rows) const {
    switch (rule_) {
      case Rule::kSign:
        return kernels_.less(x, threshold.as<float>(), bits, n_rows, width_);
      case Rule::kMask:
        return kernels_.greater(x, threshold.as<float>(), bits, n_rows, width_);
      case Rule::kLayerNormSign:
        return kernels_.layer_norm_sign(x, weight.as<float>(), threshold.as<float>(), eps, bits, n_rows, width_);
      case Rule::kSignStatistics:
        return kernels_.less_scalar(x, stats[0], bits, n_rows, width_);
      case Rule::kMaskStatistics:
        return kernels_.greater_shifted(x, stats[0], 0.5f * stats[1], bits, n_rows, width_);
    }
  }

  const RowsKernels& kernels_;
  Rule rule_;
  BitRows rows_;
  size_t n_rows_, width_;
};

std::unique_ptr<BitsOperator> MakeBits(SpecReader& reader, BitsOperator::Rule rule, ValueType type,
                                       bool has_statistics) {
  reader.InputCount(has_statistics ? 2 : 1, has_statistics ? 2 : 1);
  const Shape& shape = reader.Input(0, {ValueType::kF32}, 2);
  if (has_statistics) {
    reader.Require(reader.Input(1, {ValueType::kF32}, 1) == Shape{2}, "the statistics must have shape [2]");
  }
  reader.WritesBits(shape[0], shape[1], {type});
  auto op = std::make_unique<BitsOperator>(reader, rule);
  if (!has_statistics) op->threshold = reader.Floats("threshold", {{shape[1]}});
  return op;
}

}  // namespace

std::unique_ptr<Operator> MakeSign(SpecReader& reader) {
  return MakeBits(reader, BitsOperator::Rule::kSign, ValueType::kSign, false);
}

std::unique_ptr<Operator> MakeMask(SpecReader& reader) {
  return MakeBits(reader, BitsOperator::Rule::kMask, ValueType::kMask, false);
}

std::unique_ptr<Operator> MakeLayerNormSign(SpecReader& reader) {
  auto op = MakeBits(reader, BitsOperator::Rule::kLayerNormSign, ValueType::kSign, false);
  op->eps = reader.PositiveNumber("eps");
  op->weight = reader.Floats("weight", {{reader.spec().inputs[0].shape[1]}});
  return op;
}

std::unique_ptr<Operator> MakeSignStatistics(SpecReader& reader) {
  return MakeBits(reader, BitsOperator::Rule::kSignStatistics, ValueType::kSign, true);
}

std::unique_ptr<Operator> MakeMaskStatistics(SpecReader& reader) {
  return MakeBits(reader, BitsOperator::Rule::kMaskStatistics, ValueType::kMask, true);
}

}  // namespace bitvit

// Operators that take one bit of each float.
#pragma once

#include "ops/bit_rows.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

class BitsOperator final : public Operator {
 public:
  enum class Rule { kSign, kMask, kLayerNormSign, kSignStatistics, kMaskStatistics };

  BitsOperator(const Operands& operands, Rule rule)
      : kernels_(operands.kernels().rows),
        rule_(rule),
        rows_(operands.output(0)),
        n_rows_(operands.input(0).shape[0]),
        width_(operands.input(0).shape[1]) {}

  size_t thread_scratch_bytes(size_t) const override { return rows_.scratch_bytes(); }

  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    const float* const stats = has_statistics() ? context.input<float>(1) : nullptr;
    context.Parallel(n_rows_, 8, [&](size_t begin, size_t end, size_t thread) {
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

// Makes the operator of that rule.
template <BitsOperator::Rule rule>
std::unique_ptr<Operator> MakeBits(const Operands& operands) {
  auto result = std::make_unique<BitsOperator>(operands, rule);
  if (operands.Has("threshold")) result->threshold = operands.Floats("threshold");
  if (operands.Has("weight")) {
    result->weight = operands.Floats("weight");
    result->eps = operands.Number("eps");
  }
  return result;
}

}  // namespace bitvit

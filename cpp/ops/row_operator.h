// Operators that run one kernel over rows, or over all elements.
#pragma once

#include <utility>

#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

// One row kernel with up to three parameters of a row's width.
class RowOperator final : public Operator {
 public:
  using Apply = void (*)(const RowsKernels& kernels, const RowOperator& self, const float* x, float* y, size_t n_rows,
                         size_t width);
  RowOperator(const Operands& operands, Apply apply)
      : kernels_(operands.kernels().rows),
        apply_(apply),
        n_rows_(operands.input(0).shape[0]),
        width_(operands.input(0).shape[1]) {}

  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    float* const y = context.output<float>(0);
    context.Parallel(n_rows_, 8, [&](size_t begin, size_t end, size_t) {
      apply_(kernels_, *this, x + begin * width_, y + begin * width_, end - begin, width_);
    });
  }

  bool IsPointwise(PointwiseLink* link) const override {
    if (!has_kind || width_ % kPointwiseBlock != 0) return false;
    link->kind = kind;
    for (size_t i = 0; i < 3; ++i) link->parameters[i] = parameter(i);
    return true;
  }

  const float* parameter(size_t i) const { return parameters[i].as<float>(); }
  AlignedBuffer parameters[3];
  float eps = 0;
  bool has_kind = false;
  PointwiseKind kind = PointwiseKind::kAffine;

 private:
  const RowsKernels& kernels_;
  Apply apply_;
  size_t n_rows_, width_;
};

// y = f(a) or f(a, b) over all elements.
class FlatOperator final : public Operator {
 public:
  using Apply = void (*)(const RowsKernels& kernels, const float* a, const float* b, float* y, size_t n);
  FlatOperator(const Operands& operands, Apply apply, AlignedBuffer constant = {})
      : kernels_(operands.kernels().rows),
        apply_(apply),
        n_inputs_(operands.n_inputs()),
        n_elements_(operands.input(0).n_elements()),
        width_(operands.input(0).width()),
        constant_(std::move(constant)) {}

  void Run(const RunContext& context) const override {
    const float* const a = context.input<float>(0);
    const float* const b = n_inputs_ == 2 ? context.input<float>(1) : constant_.as<float>();
    float* const y = context.output<float>(0);
    context.Parallel(n_elements_, 4096, [&](size_t begin, size_t end, size_t) {
      apply_(kernels_, a + begin, b == nullptr ? nullptr : b + begin, y + begin, end - begin);
    });
  }

  bool IsPointwise(PointwiseLink* link) const override {
    if (!is_sum || width_ % kPointwiseBlock != 0) return false;
    link->kind = PointwiseKind::kAdd;
    link->other = constant_.as<float>();
    link->other_width = width_;
    return true;
  }

  bool is_sum = false;

 private:
  const RowsKernels& kernels_;
  Apply apply_;
  size_t n_inputs_, n_elements_, width_;
  AlignedBuffer constant_;
};

}  // namespace bitvit

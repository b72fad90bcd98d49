#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

class MeanRows final : public Operator {
 public:
  explicit MeanRows(const Operands& operands)
      : kernels_(operands.kernels().rows), n_rows_(operands.input(0).shape[0]), width_(operands.input(0).shape[1]) {}
  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    float* const y = context.output<float>(0);
    context.Parallel(width_, 16,
                     [&](size_t begin, size_t end, size_t) { kernels_.mean_rows(x, y, n_rows_, width_, begin, end); });
  }

 private:
  const RowsKernels& kernels_;
  size_t n_rows_, width_;
};

}  // namespace

BITVIT_OPERATOR(mean_rows) {
  op.Input("x", "f32 [N,C]").Output("y", "f32 [1,C]").FloatOperations("elements");
  op.MakeWith<MeanRows>();
}

}  // namespace bitvit

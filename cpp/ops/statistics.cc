#include "ops/operands.h"
#include "ops/operator.h"
#include "ops/sum_in_order.h"

namespace bitvit {

namespace {

class Statistics final : public Operator {
 public:
  explicit Statistics(const Operands& operands)
      : kernels_(operands.kernels().rows), n_rows_(operands.Size("N")), width_(operands.Size("C")) {}

  size_t shared_scratch_bytes() const override { return 2 * n_rows_ * sizeof(float); }

  void Run(const RunContext& context) const override {
    float* const sums = context.shared_scratch<float>();
    float* const abs_sums = sums + n_rows_;
    context.Parallel(n_rows_, 8, [&](size_t begin, size_t end, size_t) {
      kernels_.sums(context.input<float>(0) + begin * width_, sums + begin, abs_sums + begin, end - begin, width_);
    });
    const float count = static_cast<float>(n_rows_ * width_);
    context.output<float>(0)[0] = SumInOrder(sums, n_rows_) / count;
    context.output<float>(0)[1] = SumInOrder(abs_sums, n_rows_) / count;
  }

 private:
  const RowsKernels& kernels_;
  size_t n_rows_, width_;
};

}  // namespace

BITVIT_OPERATOR(statistics) {
  op.Input("x", "f32 [N,C]").Output("y", "f32 [2]").ScratchBytes("8*N").FloatOperations("2*elements");
  op.MakeWith<Statistics>();
}

}  // namespace bitvit

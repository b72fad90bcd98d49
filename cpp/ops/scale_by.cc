#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

class ScaleBy final : public Operator {
 public:
  explicit ScaleBy(const Operands& operands)
      : kernels_(operands.kernels().rows),
        index_(operands.Size("index")),
        n_elements_(operands.input(0).n_elements()) {}
  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    const float factor = context.input<float>(1)[index_];
    float* const y = context.output<float>(0);
    context.Parallel(n_elements_, 4096, [&](size_t begin, size_t end, size_t) {
      kernels_.scale(x + begin, factor, y + begin, end - begin);
    });
  }

 private:
  const RowsKernels& kernels_;
  size_t index_, n_elements_;
};

}  // namespace

BITVIT_OPERATOR(scale_by) {
  op.Input("x", "f32 [N,C]").Input("statistics", "f32 [n]").Integer("index", "0", "n-1").Output("y", "f32 [N,C]");
  op.RowWise().Tiled().FloatOperations("elements");
  op.MakeWith<ScaleBy>();
}

}  // namespace bitvit

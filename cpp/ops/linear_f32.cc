#include "ops/float_weight.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

class LinearF32 final : public Operator {
 public:
  explicit LinearF32(const Operands& operands)
      : kernels_(operands.kernels().float_gemm),
        n_rows_(operands.Size("N")),
        n_inputs_(operands.Size("K")),
        n_outputs_(operands.Size("O")),
        weight_(PackFloatWeight(operands, n_outputs_, n_inputs_)),
        bias_(operands.Floats("bias")) {}

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

}  // namespace

BITVIT_OPERATOR(linear_f32) {
  op.Input("x", "f32 [N,K]").Parameter("weight", "f32 [O,K]").Parameter("bias", "f32 [O]").Output("y", "f32 [N,O]");
  op.RowWise().FloatOperations("N*O*K");
  op.MakeWith<LinearF32>();
}

}  // namespace bitvit

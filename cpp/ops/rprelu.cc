#include "ops/operands.h"
#include "ops/operator.h"
#include "ops/row_operator.h"

namespace bitvit {

BITVIT_OPERATOR(rprelu) {
  op.Input("x", "f32 [N,C]").Output("y", "f32 [N,C]");
  op.Parameter("before", "f32 [C]").Parameter("slope", "f32 [C]").Parameter("after", "f32 [C]");
  op.RowWise().Tiled().InPlace().FloatOperations("4*elements");
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    auto result = std::make_unique<RowOperator>(operands, [](const RowsKernels& kernels, const RowOperator& self,
                                                             const float* x, float* y, size_t n_rows, size_t width) {
      kernels.rprelu(x, self.parameter(0), self.parameter(1), self.parameter(2), y, n_rows, width);
    });
    result->has_kind = true;
    result->kind = PointwiseKind::kRprelu;
    result->parameters[0] = operands.Floats("before");
    result->parameters[1] = operands.Floats("slope");
    result->parameters[2] = operands.Floats("after");
    return result;
  };
}

}  // namespace bitvit

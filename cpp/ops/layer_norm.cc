#include "ops/operands.h"
#include "ops/operator.h"
#include "ops/row_operator.h"

namespace bitvit {

BITVIT_OPERATOR(layer_norm) {
  op.Input("x", "f32 [N,C]").PositiveNumber("eps").Parameter("weight", "f32 [C]").Parameter("bias", "f32 [C]");
  op.Output("y", "f32 [N,C]").RowWise().Tiled().FloatOperations("5*elements");
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    auto result = std::make_unique<RowOperator>(operands, [](const RowsKernels& kernels, const RowOperator& self,
                                                             const float* x, float* y, size_t n_rows, size_t width) {
      kernels.layer_norm(x, self.parameter(0), self.parameter(1), self.eps, y, n_rows, width);
    });
    result->parameters[0] = operands.Floats("weight");
    result->parameters[1] = operands.Floats("bias");
    result->eps = operands.Number("eps");
    return result;
  };
}

}  // namespace bitvit

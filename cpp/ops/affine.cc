#include "ops/operands.h"
#include "ops/operator.h"
#include "ops/row_operator.h"

namespace bitvit {

BITVIT_OPERATOR(affine) {
  op.Input("x", "f32 [N,C]").Parameter("scale", "f32 [C]").Parameter("bias", "f32 [C]").Output("y", "f32 [N,C]");
  op.RowWise().Tiled().InPlace().ChannelAffine("scale", "bias").FloatOperations("elements");
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    auto result = std::make_unique<RowOperator>(
        operands, [](const RowsKernels& kernels, const RowOperator& self, const float* x, float* y, size_t n_rows,
                     size_t width) { kernels.affine(x, self.parameter(0), self.parameter(1), y, n_rows, width); });
    result->has_kind = true;
    result->kind = PointwiseKind::kAffine;
    result->parameters[0] = operands.Floats("scale");
    result->parameters[1] = operands.Floats("bias");
    return result;
  };
}

}  // namespace bitvit

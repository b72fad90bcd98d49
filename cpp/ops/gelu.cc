#include "ops/operands.h"
#include "ops/operator.h"
#include "ops/row_operator.h"

namespace bitvit {

BITVIT_OPERATOR(gelu) {
  op.Input("x", "f32 [N,...]").Output("y", "f32 [N,...]").RowWise().Tiled();
  op.FloatOperations("20*elements");  // the polynomial, its 16th power and the rest
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    return std::make_unique<FlatOperator>(operands, [](const RowsKernels& kernels, const float* a, const float*,
                                                       float* y, size_t n) { kernels.gelu(a, y, n); });
  };
}

}  // namespace bitvit

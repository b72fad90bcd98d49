#include "ops/operands.h"
#include "ops/operator.h"
#include "ops/row_operator.h"

namespace bitvit {

namespace {

void Sum(const RowsKernels& kernels, const float* a, const float* b, float* y, size_t n) { kernels.add(a, b, y, n); }

}  // namespace

BITVIT_OPERATOR(add) {
  op.Input("a", "f32 [N,...]").Input("b", "f32 [N,...]").Output("y", "f32 [N,...]");
  op.RowWise().Tiled().InPlace().FloatOperations("elements");
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    auto result = std::make_unique<FlatOperator>(operands, Sum);
    result->is_sum = operands.input(0).shape.size() == 2;
    return result;
  };
}

BITVIT_OPERATOR(add_constant) {
  op.Input("x", "f32 [N,C]").Parameter("value", "f32 [N,C] | f32 [C]").Output("y", "f32 [N,C]");
  op.RowWise().Tiled().InPlace().ChannelAffine("", "value").FloatOperations("elements");
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    if (operands.Parameter("value").shape.size() == 2) {
      auto result = std::make_unique<FlatOperator>(operands, Sum, operands.Floats("value"));
      result->is_sum = true;
      return result;
    }
    auto result = std::make_unique<RowOperator>(
        operands, [](const RowsKernels& kernels, const RowOperator& self, const float* x, float* y, size_t n_rows,
                     size_t width) { kernels.add_row(x, self.parameter(0), y, n_rows, width); });
    result->parameters[0] = operands.Floats("value");
    result->has_kind = true;
    result->kind = PointwiseKind::kAddRow;
    return result;
  };
}

}  // namespace bitvit

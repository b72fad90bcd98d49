#include "ops/copy_rows.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

Status CheckAxes(Operands& operands) {
  const Value& x = operands.input(0);
  if (x.shape.size() == 2 || (x.shape.size() == 3 && x.is_bits())) return {};
  return operands.Fail(ErrorCode::kOperand, "expected rows, not " + x.ToString());
}

}  // namespace

BITVIT_OPERATOR(slice_rows) {
  op.Input("x", "f32|sign|mask [N,...]").Integer("stop", "1", "N").Integer("start", "0", "stop-1");
  op.Output("y", "same [stop-start,...]").OnlyMoves();
  op.check = CheckAxes;
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    const size_t row_bytes = RowBytes(operands.input(0));
    const CopyRows::Part part = {operands.Size("start") * row_bytes, operands.Size("stop-start") * row_bytes};
    return std::make_unique<CopyRows>(std::vector<CopyRows::Part>{part});
  };
}

}  // namespace bitvit

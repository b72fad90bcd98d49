#include "ops/copy_rows.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

BITVIT_OPERATOR(reshape_rows) {
  op.Input("x", "f32 [N,C]").Integer("rows", "1", "N*C").Divides("rows", "N*C").Output("y", "f32 [rows,N*C/rows]");
  op.OnlyMoves();
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    return std::make_unique<CopyPieces>(operands.Size("rows"), 1, 1, 0, RowBytes(operands.output(0)));
  };
}

}  // namespace bitvit

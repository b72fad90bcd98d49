#include "ops/copy_rows.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

BITVIT_OPERATOR(repeat_channels) {
  op.Input("x", "f32 [N,C]").Integer("times", "1", "16777216/C").Output("y", "f32 [N,C*times]");
  op.RowWise().Tiled().RepeatsChannels().OnlyMoves();
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    return std::make_unique<CopyPieces>(operands.Size("N"), operands.Size("times"), 1, 0, RowBytes(operands.input(0)));
  };
}

}  // namespace bitvit

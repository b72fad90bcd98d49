#include "ops/copy_rows.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

// The numbers of rows of all inputs together.
Status AddRows(Operands& operands) {
  size_t n_rows = 0;
  for (size_t i = 0; i < operands.n_inputs(); ++i) n_rows += operands.input(i).shape[0];
  operands.Bind("rows", n_rows);
  return {};
}

}  // namespace

BITVIT_OPERATOR(concat_rows) {
  op.Input("x", "f32 [_,C]", Presence::kRepeated).Output("y", "f32 [rows,C]").OnlyMoves();
  op.check = AddRows;
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    std::vector<CopyRows::Part> parts;
    for (size_t i = 0; i < operands.n_inputs(); ++i) parts.push_back({0, operands.input(i).size_bytes()});
    return std::make_unique<CopyRows>(std::move(parts));
  };
}

}  // namespace bitvit

#include "ops/copy_rows.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

Status CheckIndex(Operands& operands) {
  const Tensor& index = operands.Parameter("index");
  const int64_t n_rows = static_cast<int64_t>(operands.Size("N"));
  for (size_t i = 0; i < index.n_elements(); ++i) {
    const int32_t row = index.as<int32_t>()[i];
    if (row < 0 || row >= n_rows) {
      return operands.Fail(ErrorCode::kTensorContent, "parameter 'index' points outside the rows");
    }
  }
  return {};
}

}  // namespace

BITVIT_OPERATOR(gather_rows) {
  op.Input("x", "f32|sign [N,C]").Parameter("index", "i32 [n]").Output("y", "same [n,C]").Tiled().OnlyMoves();
  op.check = CheckIndex;
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    const int32_t* const index = operands.Parameter("index").as<int32_t>();
    return std::make_unique<GatherRows>(std::vector<uint32_t>(index, index + operands.Size("n")),
                                        RowBytes(operands.input(0)));
  };
}

}  // namespace bitvit

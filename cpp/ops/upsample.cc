#include "ops/copy_rows.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

BITVIT_OPERATOR(upsample) {
  op.Input("x", "f32 [N,C]").Grid().Integer("factor", "1", "63").Output("y", "f32 [N*factor*factor,C]");
  op.Tiled().OnlyMoves();
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    const size_t width = operands.Size("w"), factor = operands.Size("factor");
    std::vector<uint32_t> source(operands.Size("N*factor*factor"));
    for (size_t i = 0; i < source.size(); ++i) {
      const size_t y = i / (width * factor), x = i % (width * factor);
      source[i] = static_cast<uint32_t>(y / factor * width + x / factor);
    }
    return std::make_unique<GatherRows>(std::move(source), RowBytes(operands.input(0)));
  };
}

}  // namespace bitvit

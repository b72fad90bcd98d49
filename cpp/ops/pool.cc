#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

class PoolOperator final : public Operator {
 public:
  explicit PoolOperator(const Operands& operands)
      : kernels_(operands.kernels().grid),
        pool_{
            operands.Size("h"),      operands.Size("w"),      operands.Size("C"),       operands.Size("columns"),
            operands.Size("kernel"), operands.Size("stride"), operands.Size("padding"), operands.Text("kind") == "max"},
        n_cells_(operands.Size("rows*columns")) {}

  void Run(const RunContext& context) const override {
    context.Parallel(n_cells_, 1, [&](size_t begin, size_t end, size_t) {
      kernels_.pool(context.input<float>(0), pool_, context.output<float>(0), begin, end);
    });
  }

 private:
  const GridKernels& kernels_;
  Pool pool_;
  size_t n_cells_;
};

}  // namespace

BITVIT_OPERATOR(pool) {
  op.Input("x", "f32 [N,C]").Grid().Choice("kind", {"average", "max"});
  op.Integer("kernel", "1", "63").Integer("stride", "1", "63").Integer("padding", "0", "kernel/2");
  op.AtMost("kernel", "h+2*padding", ErrorCode::kOperatorAttribute);
  op.AtMost("kernel", "w+2*padding", ErrorCode::kOperatorAttribute);
  op.Let("rows", "(h+2*padding-kernel)/stride+1").Let("columns", "(w+2*padding-kernel)/stride+1");
  op.Output("y", "f32 [rows*columns,C]").Tiled().FloatOperations("rows*columns*C*kernel*kernel");
  op.MakeWith<PoolOperator>();
}

}  // namespace bitvit

#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

class MeanChannels final : public Operator {
 public:
  explicit MeanChannels(const Operands& operands)
      : kernels_(operands.kernels().grid), group_(operands.Size("group")), shape_(operands.output(0).shape) {}

  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    float* const y = context.output<float>(0);
    context.Parallel(shape_[0], 8, [&](size_t begin, size_t end, size_t) {
      kernels_.mean_channels(x + begin * shape_[1] * group_, group_, y + begin * shape_[1], (end - begin) * shape_[1]);
    });
  }

  size_t mean_group() const override { return group_; }

 private:
  const GridKernels& kernels_;
  size_t group_;
  Shape shape_;
};

}  // namespace

BITVIT_OPERATOR(mean_channels) {
  op.Input("x", "f32 [N,C]").Integer("group", "1", "C").Divides("group", "C").Output("y", "f32 [N,C/group]");
  op.RowWise().Tiled().FloatOperations("elements");
  op.MakeWith<MeanChannels>();
}

}  // namespace bitvit

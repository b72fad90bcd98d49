#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

class ArgmaxChannels final : public Operator {
 public:
  explicit ArgmaxChannels(const Operands& operands) : n_rows_(operands.Size("N")), width_(operands.Size("C")) {}

  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    int32_t* const y = context.output<int32_t>(0);
    context.Parallel(n_rows_, 64, [&](size_t begin, size_t end, size_t) {
      for (size_t n = begin; n < end; ++n) y[n] = Largest(x + n * width_);
    });
  }

 private:
  // NaN is never larger than anything, and everything takes the place of a NaN.
  int32_t Largest(const float* row) const {
    size_t best = 0;
    for (size_t c = 1; c < width_; ++c) {
      if (row[c] > row[best] || (row[best] != row[best] && row[c] == row[c])) best = c;
    }
    return row[best] == row[best] ? static_cast<int32_t>(best) : 0;
  }

  size_t n_rows_, width_;
};

}  // namespace

BITVIT_OPERATOR(argmax_channels) {
  op.Input("x", "f32 [N,C]").Output("y", "i32 [N]").RowWise().Tiled().FloatOperations("elements");
  op.MakeWith<ArgmaxChannels>();
}

}  // namespace bitvit

#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

// An image row is treated as one row of W * C numbers, the parameters repeated W times.
class ImageToFloat final : public Operator {
 public:
  explicit ImageToFloat(const Operands& operands)
      : kernels_(operands.kernels().rows), n_rows_(operands.Size("H")), width_(operands.Size("W*C")) {
    mul_ = Repeat(operands.Floats("mul"), operands.Size("C"));
    add_ = Repeat(operands.Floats("add"), operands.Size("C"));
  }

  void Run(const RunContext& context) const override {
    context.Parallel(n_rows_, 4, [&](size_t begin, size_t end, size_t) {
      kernels_.affine_u8(context.input<uint8_t>(0) + begin * width_, mul_.as<float>(), add_.as<float>(),
                         context.output<float>(0) + begin * width_, end - begin, width_);
    });
  }

 private:
  AlignedBuffer Repeat(const AlignedBuffer& values, size_t n_channels) const {
    AlignedBuffer repeated((width_ + 16) * sizeof(float));
    for (size_t i = 0; i < width_; ++i) repeated.as<float>()[i] = values.as<float>()[i % n_channels];
    return repeated;
  }

  const RowsKernels& kernels_;
  size_t n_rows_, width_;
  AlignedBuffer mul_, add_;
};

}  // namespace

BITVIT_OPERATOR(image_to_float) {
  op.Input("x", "u8 [H,W,C]").Parameter("mul", "f32 [C]").Parameter("add", "f32 [C]").Output("y", "f32 [H,W,C]");
  op.FloatOperations("elements").LayoutBytes("8*(W*C+16)");
  op.MakeWith<ImageToFloat>();
}

}  // namespace bitvit

#include <cstring>

#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

constexpr size_t kRowBlock = 8;  // rows that one thread does at a time

// Levels are stored as q + 128, so that they are unsigned; the constant 128 * sum(w) is subtracted again.
class LinearI8 final : public Operator {
 public:
  explicit LinearI8(const Operands& operands)
      : kernels_(operands.kernels()),
        n_rows_(operands.Size("N")),
        n_inputs_(operands.Size("K")),
        n_outputs_(operands.Size("O")),
        step_(operands.Parameter("step").as<float>()[0]),
        shift_(operands.Floats("shift")),
        scale_(operands.Floats("scale")),
        bias_(operands.Floats("bias")) {
    const int8_t* const weight = operands.Parameter("weight").as<int8_t>();
    weight_ = operands.Layout("weight", [&] {
      AlignedBuffer packed = AlignedBuffer::Unset(kernels_.byte_gemm.packed_bytes(n_inputs_, n_outputs_));
      kernels_.byte_gemm.pack(weight, n_inputs_, n_outputs_, packed.data());
      return packed;
    });
    offset_ = AlignedBuffer(n_outputs_ * sizeof(int32_t));
    for (size_t o = 0; o < n_outputs_; ++o) {
      int32_t sum = 0;
      for (size_t k = 0; k < n_inputs_; ++k) sum += weight[o * n_inputs_ + k];
      offset_.as<int32_t>()[o] = 128 * sum;
    }
  }

  size_t thread_scratch_bytes(size_t) const override {
    return kRowBlock * (AlignUp(n_inputs_) + AlignUp(n_outputs_, 16) * sizeof(int32_t));
  }

  void Run(const RunContext& context) const override {
    const size_t stride = AlignUp(n_inputs_), acc_stride = AlignUp(n_outputs_, 16);
    context.Parallel(n_rows_, 1, [&](size_t begin, size_t end, size_t thread) {
      uint8_t* const levels = static_cast<uint8_t*>(context.thread_scratch(thread));
      int32_t* const acc = reinterpret_cast<int32_t*>(levels + kRowBlock * stride);
      for (size_t n = begin; n < end; n += kRowBlock) {
        const size_t count = end - n < kRowBlock ? end - n : kRowBlock;
        for (size_t r = 0; r < count; ++r) {
          uint8_t* const row = levels + r * stride;
          std::memset(row + n_inputs_, 0, stride - n_inputs_);
          kernels_.rows.quantize(context.input<float>(0) + (n + r) * n_inputs_, shift_.as<float>(), step_, row,
                                 n_inputs_);
        }
        kernels_.byte_gemm.multiply(levels, stride, weight_.data(), acc, count, n_inputs_, n_outputs_);
        for (size_t r = 0; r < count; ++r) {
          kernels_.rows.scaled_i32(acc + r * acc_stride, offset_.as<int32_t>(), scale_.as<float>(), bias_.as<float>(),
                                   context.output<float>(0) + (n + r) * n_outputs_, n_outputs_);
        }
      }
    });
  }

 private:
  const Kernels& kernels_;
  size_t n_rows_, n_inputs_, n_outputs_;
  float step_;
  AlignedBuffer weight_, shift_, scale_, bias_, offset_;
};

Status CheckStep(Operands& operands) {
  if (operands.Parameter("step").as<float>()[0] > 0) return {};
  return operands.Fail(ErrorCode::kTensorContent, "parameter 'step' must be positive");
}

}  // namespace

BITVIT_OPERATOR(linear_i8) {
  static_assert(kByteGemmMaxInputs == 65536);
  op.Input("x", "f32 [N,K]").Output("y", "f32 [N,O]").AtMost("K", "65536").Parameter("weight", "i8 [O,K]");
  op.Parameter("shift", "f32 [K]").Parameter("step", "f32 [1]");
  op.Parameter("scale", "f32 [O]").Parameter("bias", "f32 [O]");
  op.RowWise().Foldable().ScratchBytes("8*(K+64+4*(O+16))").Costs("0", "N*O*K", "3*N*K+N*O");
  op.check = CheckStep;
  op.MakeWith<LinearI8>();
}

}  // namespace bitvit

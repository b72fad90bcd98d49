#include "kernels/kernels.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

constexpr size_t kRowGrain = 8;  // kernels work on several rows at a time

class ValueProduct final : public Operator {
 public:
  explicit ValueProduct(const Operands& operands)
      : shape_{operands.Size("P"), operands.Size("Q"), operands.Size("H"),        operands.Size("N"),
               operands.Size("D"), operands.Size("M"), operands.is_dense_plane(1)},
        row_scale_(operands.Floats("row_scale")),
        column_scale_(operands.Floats("column_scale")) {
    const bool fits = shape_.n_keys <= kValueProductMaxKeys;
    kernels_ = fits ? &operands.kernels().value_product : &UnlimitedValueProduct();
    head_bytes_ = AlignUp(kernels_->packed_bytes(shape_));
  }

  size_t shared_scratch_bytes() const override { return shape_.n_heads * head_bytes_; }
  size_t thread_scratch_bytes(size_t) const override { return kernels_->scratch_bytes(shape_); }

  void Run(const RunContext& context) const override {
    std::byte* const packed = context.shared_scratch<std::byte>();
    context.Parallel(shape_.n_heads, 1, [&](size_t begin, size_t end, size_t) {
      for (size_t h = begin; h < end; ++h) {
        kernels_->pack(context.input<uint64_t>(1), shape_, h, packed + h * head_bytes_);
      }
    });
    context.Parallel(shape_.n_heads * shape_.n_queries, kRowGrain, [&](size_t begin, size_t end, size_t thread) {
      while (begin < end) {
        const size_t head = begin / shape_.n_queries, first = begin % shape_.n_queries;
        const size_t left = end - begin, of_head = shape_.n_queries - first;
        const size_t n_rows = left < of_head ? left : of_head;
        kernels_->product(context.input<uint64_t>(0), packed + head * head_bytes_, shape_, row_scale_.as<float>(),
                          column_scale_.as<float>(), head, first, n_rows, context.output<float>(0),
                          context.thread_scratch(thread));
        begin += n_rows;
      }
    });
  }

 private:
  ValueShape shape_;
  const ValueProductKernels* kernels_;
  size_t head_bytes_;
  AlignedBuffer row_scale_, column_scale_;
};

}  // namespace

BITVIT_OPERATOR(value_product) {
  static_assert(kMaxPlanes == 8);
  op.Input("masks", "mask [P,H,N,M]").Input("planes", "ternary [Q,H,D,M]").Output("y", "f32 [N,H*D]");
  op.Parameter("row_scale", "f32 [P,H]").Parameter("column_scale", "f32 [Q]").AtMost("P", "8").AtMost("Q", "8");
  op.ScratchBytes("H*(2048+(Q+1)*((D+63)/64*64)*((M+63)/64)*64)+16*P*Q*(D+64)+65536");
  op.RowWise().Costs("P*Q*N*H*D*M", "0", "P*(Q+1)*N*H*D");
  op.MakeWith<ValueProduct>();
}

}  // namespace bitvit

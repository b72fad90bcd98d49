// windows_to_heads, heads_to_windows.
#include "ops/copy_rows.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

// heads_to_windows: output row w n + i is piece w of input row i.
class HeadsToWindows final : public Operator {
 public:
  explicit HeadsToWindows(const Operands& operands)
      : n_rows_(operands.Size("N")), windows_(operands.Size("windows")), piece_bytes_(RowBytes(operands.output(0))) {}

  void Run(const RunContext& context) const override {
    const std::byte* const in = context.input<std::byte>(0);
    std::byte* const out = context.output<std::byte>(0);
    context.Parallel(n_rows_ * windows_, 8, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) {
        const size_t piece = i % n_rows_ * windows_ + i / n_rows_;
        std::memcpy(out + i * piece_bytes_, in + piece * piece_bytes_, piece_bytes_);
      }
    });
  }

 private:
  size_t n_rows_, windows_, piece_bytes_;
};

}  // namespace

BITVIT_OPERATOR(windows_to_heads) {
  op.Input("x", "f32 [N,C] | sign [N,H,D]").Integer("windows", "1", "N").Divides("windows", "N");
  op.Output("y", "same [N/windows,windows*C] | same [N/windows,windows*H,D]").Tiled().OnlyMoves();
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    const size_t n_rows = operands.Size("N/windows");
    return std::make_unique<CopyPieces>(n_rows, operands.Size("windows"), 1, n_rows, RowBytes(operands.input(0)));
  };
}

BITVIT_OPERATOR(heads_to_windows) {
  op.Input("x", "f32 [N,C]").Integer("windows", "1", "C").Divides("windows", "C");
  op.Output("y", "f32 [N*windows,C/windows]").Tiled().OnlyMoves();
  op.MakeWith<HeadsToWindows>();
}

}  // namespace bitvit

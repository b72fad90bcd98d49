#include "ops/copy_rows.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

// merge_patches of bits: the rows of the patch's cells one after the other, bit by bit.
class MergeBits final : public Operator {
 public:
  explicit MergeBits(const Operands& operands)
      : height_(operands.Size("h")),
        grid_width_(operands.Size("w")),
        patch_(operands.Size("patch")),
        width_(operands.Size("C")),
        in_words_(BitWords(width_)),
        out_words_(BitWords(width_ * patch_ * patch_)) {}

  void Run(const RunContext& context) const override {
    const size_t n_columns = grid_width_ / patch_, n_rows = height_ / patch_ * n_columns;
    const uint64_t* const in = context.input<uint64_t>(0);
    uint64_t* const out = context.output<uint64_t>(0);
    context.Parallel(n_rows, 8, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) {
        const size_t top = i / n_columns * patch_, left = i % n_columns * patch_;
        uint64_t* const row = out + i * out_words_;
        std::memset(row, 0, out_words_ * 8);
        for (size_t t = 0; t < patch_ * patch_; ++t) {
          const size_t cell = (top + t / patch_) * grid_width_ + left + t % patch_;
          Append(in + cell * in_words_, t * width_, row);
        }
      }
    });
  }

 private:
  // The bits of a row (padding 0) into the bits first.. of `out`.
  void Append(const uint64_t* row, size_t first, uint64_t* out) const {
    const size_t shift = first % 64;
    out += first / 64;
    for (size_t w = 0; w < in_words_; ++w) {
      out[w] |= row[w] << shift;
      const uint64_t rest = shift == 0 ? 0 : row[w] >> (64 - shift);
      if (rest != 0) out[w + 1] |= rest;  // there may be no such word
    }
  }

  size_t height_, grid_width_, patch_, width_, in_words_, out_words_;
};

}  // namespace

BITVIT_OPERATOR(merge_patches) {
  op.Input("x", "f32|sign [N,C]")
      .Grid()
      .Integer("patch", "1", "63")
      .Output("y", "same [N/(patch*patch),C*patch*patch]");
  op.Divides("patch", "h", ErrorCode::kOperatorAttribute).Divides("patch", "w", ErrorCode::kOperatorAttribute);
  op.Tiled().OnlyMoves();
  op.make = [](const Operands& operands) -> std::unique_ptr<Operator> {
    const Value& in = operands.input(0);
    if (in.is_bits() && in.width() % 64 != 0) return std::make_unique<MergeBits>(operands);
    const size_t width = operands.Size("w"), patch = operands.Size("patch"), n_columns = width / patch;
    std::vector<uint32_t> source(operands.Size("N"));
    for (size_t i = 0; i < source.size(); ++i) {
      const size_t cell = i / (patch * patch), tap = i % (patch * patch);
      const size_t y = cell / n_columns * patch + tap / patch, x = cell % n_columns * patch + tap % patch;
      source[i] = static_cast<uint32_t>(y * width + x);
    }
    return std::make_unique<GatherRows>(std::move(source), RowBytes(in));
  };
}

}  // namespace bitvit

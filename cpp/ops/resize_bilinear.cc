#include <algorithm>
#include <vector>

#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

constexpr long long kMaxSide = 8192;

Status ReadSize(Operands& operands) {
  const char* const names[2] = {"height", "width"};
  for (size_t i = 0; i < 2; ++i) {
    const auto* side = std::get_if<long long>(&operands.List("size")[i].value);
    if (side == nullptr || *side < 1 || *side > kMaxSide) {
      return operands.Fail(ErrorCode::kOperatorAttribute,
                           "attribute 'size' must be two integers from 1 to " + std::to_string(kMaxSide));
    }
    operands.Bind(names[i], static_cast<size_t>(*side));
  }
  return {};
}

// The two places along an axis between which a place of the output lies, and their weights.
struct Between {
  size_t first, second;
  float first_weight, second_weight;
};

// docs/format.md, resize_bilinear: centres of cells, in whole numbers of half output cells.
std::vector<Between> PlacesBetween(size_t n_in, size_t n_out) {
  const int64_t in = static_cast<int64_t>(n_in), step = 2 * static_cast<int64_t>(n_out);
  std::vector<Between> places;
  for (int64_t i = 0; 2 * i < step; ++i) {
    const int64_t centre = std::max<int64_t>((2 * i + 1) * in - step / 2, 0);
    const int64_t first = std::min(centre / step, in - 1), second = std::min(first + 1, in - 1);
    const float weight = static_cast<float>(centre - first * step) / static_cast<float>(step);
    places.push_back({static_cast<size_t>(first), static_cast<size_t>(second), 1.0f - weight, weight});
  }
  return places;
}

class ResizeBilinear final : public Operator {
 public:
  explicit ResizeBilinear(const Operands& operands)
      : rows_(PlacesBetween(operands.Size("h"), operands.Size("height"))),
        columns_(PlacesBetween(operands.Size("w"), operands.Size("width"))),
        grid_width_(operands.Size("w")),
        n_channels_(operands.Size("C")) {}

  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    float* const y = context.output<float>(0);
    context.Parallel(rows_.size() * columns_.size(), 8, [&](size_t begin, size_t end, size_t) {
      for (size_t n = begin; n < end; ++n) {
        Mix(x, rows_[n / columns_.size()], columns_[n % columns_.size()], y + n * n_channels_);
      }
    });
  }

 private:
  void Mix(const float* x, const Between& row, const Between& column, float* y) const {
    const float* const top = x + row.first * grid_width_ * n_channels_;
    const float* const bottom = x + row.second * grid_width_ * n_channels_;
    const size_t left = column.first * n_channels_, right = column.second * n_channels_;
    for (size_t c = 0; c < n_channels_; ++c) {
      const float above = top[left + c] * column.first_weight + top[right + c] * column.second_weight;
      const float below = bottom[left + c] * column.first_weight + bottom[right + c] * column.second_weight;
      y[c] = above * row.first_weight + below * row.second_weight;
    }
  }

  std::vector<Between> rows_, columns_;
  size_t grid_width_, n_channels_;
};

}  // namespace

BITVIT_OPERATOR(resize_bilinear) {
  op.Input("x", "f32 [N,C]").Grid().List("size", "2", "2").Output("y", "f32 [height*width,C]");
  op.Tiled().FloatOperations("9*height*width*C");
  op.check_attributes = ReadSize;
  op.MakeWith<ResizeBilinear>();
}

}  // namespace bitvit

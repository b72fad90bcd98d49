// stencil, pool.
#include "ops/grid.h"

#include "ops/registry.h"

namespace bitvit {
namespace {

constexpr size_t kCellGrain = 8;

class StencilOperator final : public Operator {
 public:
  StencilOperator(SpecReader& reader, const Shape& shape) : kernels_(reader.kernels().grid) {
    const Grid grid = ReadGrid(reader, shape[0]);
    const AttributeList& groups = reader.List("groups", 1, shape[1]);
    if (shape[1] % groups.size() != 0) {
      reader.FailAttribute("attribute 'groups' must be a list whose length divides " + std::to_string(shape[1]));
    }
    for (const Attribute& group : groups) {
      first_tap_.push_back(taps_.size());
      ReadTaps(reader, group);
    }
    first_tap_.push_back(taps_.size());
    zeros_ = AlignedBuffer((shape[1] / groups.size() + 16) * sizeof(float));
    const bool wrap = reader.Flag("wrap");
    const float divisor = static_cast<float>(reader.Integer("divisor", 1, kMaxDimension));
    stencil_ = {grid.height,   grid.width, shape[1], taps_.data(),      first_tap_.data(),
                groups.size(), wrap,       divisor,  zeros_.as<float>()};
    reader.Writes({{ValueType::kF32, shape}});
  }

  void Run(const RunContext& context) const override {
    context.Parallel(stencil_.height * stencil_.width, kCellGrain, [&](size_t begin, size_t end, size_t) {
      kernels_.stencil(context.input<float>(0), stencil_, context.output<float>(0), begin, end);
    });
  }

 private:
  void ReadTaps(const SpecReader& reader, const Attribute& group) {
    const auto* list = std::get_if<AttributeList>(&group.value);
    if (list == nullptr || list->empty() || list->size() > kMaxGridTaps) {
      reader.FailAttribute("attribute 'groups' must hold lists of 1 to " + std::to_string(kMaxGridTaps) + " taps");
    }
    for (const Attribute& tap : *list) {
      const auto* pair = std::get_if<AttributeList>(&tap.value);
      int32_t distances[2];
      for (size_t i = 0; i < 2; ++i) {
        const auto* number = pair == nullptr || pair->size() != 2 ? nullptr : std::get_if<long long>(&(*pair)[i].value);
        const long long limit = kMaxGridKernel;
        if (number == nullptr || *number < -limit || *number > limit) {
          reader.FailAttribute("attribute 'groups': a tap is two integers of at most " + std::to_string(limit));
        }
        distances[i] = static_cast<int32_t>(*number);
      }
      taps_.push_back({distances[0], distances[1]});
    }
  }

  const GridKernels& kernels_;
  std::vector<GridTap> taps_;
  std::vector<size_t> first_tap_;
  AlignedBuffer zeros_;
  Stencil stencil_;
};

class PoolOperator final : public Operator {
 public:
  PoolOperator(SpecReader& reader, const Shape& shape) : kernels_(reader.kernels().grid) {
    const Grid grid = ReadGrid(reader, shape[0]);
    const bool is_max = reader.Choice("kind", {"average", "max"}) == 1;
    const size_t kernel = reader.Integer("kernel", 1, kMaxGridKernel);
    const size_t stride = reader.Integer("stride", 1, kMaxGridKernel);
    const size_t padding = reader.Integer("padding", 0, kernel / 2);
    if (grid.height + 2 * padding < kernel || grid.width + 2 * padding < kernel) {
      reader.FailAttribute("the kernel is larger than the padded grid");
    }
    const size_t out_width = (grid.width + 2 * padding - kernel) / stride + 1;
    n_cells_ = ((grid.height + 2 * padding - kernel) / stride + 1) * out_width;
    pool_ = {grid.height, grid.width, shape[1], out_width, kernel, stride, padding, is_max};
    reader.Writes({{ValueType::kF32, {n_cells_, shape[1]}}});
  }

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

Grid ReadGrid(SpecReader& reader, size_t n_rows) {
  size_t sizes[2];
  const AttributeList& list = reader.List("grid", 2, 2);
  bool fits = true;
  for (size_t i = 0; i < 2; ++i) {
    const auto* size = std::get_if<long long>(&list[i].value);
    fits = fits && size != nullptr && *size > 0 && *size <= static_cast<long long>(kMaxDimension);
    sizes[i] = fits ? static_cast<size_t>(*size) : 0;
  }
  if (!fits || sizes[0] * sizes[1] != n_rows) {
    reader.FailAttribute("attribute 'grid' must be two numbers whose product is " + std::to_string(n_rows));
  }
  return {sizes[0], sizes[1]};
}

std::unique_ptr<Operator> MakeStencil(SpecReader& reader) {
  reader.InputCount(1, 1);
  return std::make_unique<StencilOperator>(reader, reader.Input(0, {ValueType::kF32}, 2));
}

std::unique_ptr<Operator> MakePool(SpecReader& reader) {
  reader.InputCount(1, 1);
  return std::make_unique<PoolOperator>(reader, reader.Input(0, {ValueType::kF32}, 2));
}

}  // namespace bitvit

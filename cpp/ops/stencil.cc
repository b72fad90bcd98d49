#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

constexpr size_t kCellGrain = 8;
constexpr size_t kMaxTaps = 64;  // of a group
constexpr long long kMaxDistance = 63;

// The taps of all groups, those of group g from first[g] to first[g + 1] - 1.
struct GroupTaps {
  std::vector<GridTap> taps;
  std::vector<size_t> first;
};

Result<GroupTaps> ReadTaps(const Operands& operands) {
  GroupTaps result;
  for (const Attribute& group : operands.List("groups")) {
    result.first.push_back(result.taps.size());
    const auto* list = std::get_if<AttributeList>(&group.value);
    if (list == nullptr || list->empty() || list->size() > kMaxTaps) {
      return operands.Fail(ErrorCode::kOperatorAttribute,
                           "attribute 'groups' must hold lists of 1 to " + std::to_string(kMaxTaps) + " taps");
    }
    for (const Attribute& tap : *list) {
      const auto* pair = std::get_if<AttributeList>(&tap.value);
      int32_t distances[2];
      for (size_t i = 0; i < 2; ++i) {
        const auto* number = pair == nullptr || pair->size() != 2 ? nullptr : std::get_if<long long>(&(*pair)[i].value);
        if (number == nullptr || *number < -kMaxDistance || *number > kMaxDistance) {
          return operands.Fail(ErrorCode::kOperatorAttribute,
                               "attribute 'groups': a tap is two integers of at most " + std::to_string(kMaxDistance));
        }
        distances[i] = static_cast<int32_t>(*number);
      }
      result.taps.push_back({distances[0], distances[1]});
    }
  }
  result.first.push_back(result.taps.size());
  return result;
}

class StencilOperator final : public Operator {
 public:
  explicit StencilOperator(const Operands& operands) : kernels_(operands.kernels().grid), taps_(*ReadTaps(operands)) {
    const size_t n_channels = operands.Size("C");
    zeros_ = operands.Zeros((n_channels / operands.Size("groups") + 16) * sizeof(float));
    stencil_ = {operands.Size("h"),
                operands.Size("w"),
                n_channels,
                taps_.taps.data(),
                taps_.first.data(),
                operands.Size("groups"),
                operands.Flag("wrap"),
                static_cast<float>(operands.Size("divisor")),
                zeros_.as<float>()};
  }

  const Stencil* stencil() const override { return &stencil_; }

  bool SumStencils(const std::vector<StencilTerm>& terms) override {
    if (stencil_.n_groups != 1 || terms.size() > kMaxStencilTerms) return false;
    const size_t pattern = kernels_.stencil_sum_pattern(terms.data(), terms.size());
    if (pattern == kNoStencilSum) return false;
    sum_ = {pattern, stencil_.height, stencil_.width, stencil_.n_channels, stencil_.wrap, {}, {}, stencil_.zeros};
    for (size_t t = 0; t < terms.size(); ++t) {
      sum_.scale[t] = terms[t].scale;
      sum_.bias[t] = terms[t].bias;
    }
    return true;
  }

  bool EndWith(const PointwiseLink& affine, bool has_sum) override {
    end_ = {affine.parameters[0], affine.parameters[1], nullptr};
    has_sum_ = has_sum;
    return true;
  }

  void Run(const RunContext& context) const override {
    if (sum_.pattern != kNoStencilSum) {
      context.Parallel(stencil_.height * stencil_.width, kCellGrain, [&](size_t begin, size_t end, size_t) {
        kernels_.stencil_sum(context.input<float>(0), sum_, context.output<float>(0), begin, end);
      });
      return;
    }
    const StencilEnd end_here = {end_.scale, end_.bias, has_sum_ ? context.input<float>(1) : nullptr};
    context.Parallel(stencil_.height * stencil_.width, kCellGrain, [&](size_t begin, size_t end, size_t) {
      kernels_.stencil(context.input<float>(0), stencil_, end_here, context.output<float>(0), begin, end);
    });
  }

 private:
  const GridKernels& kernels_;
  GroupTaps taps_;
  AlignedBuffer zeros_;
  Stencil stencil_;
  StencilEnd end_ = {};
  bool has_sum_ = false;
  StencilSum sum_ = {kNoStencilSum, 0, 0, 0, false, {}, {}, nullptr};
};

Status CheckTaps(Operands& operands) {
  BITVIT_ASSIGN(const GroupTaps taps, ReadTaps(operands));
  const size_t n_groups = operands.Size("groups");
  const size_t n_divisions = operands.Size("divisor") > 1 ? n_groups : 0;
  operands.Bind("operations", taps.taps.size() - n_groups + n_divisions);  // the first tap of a sum adds nothing
  return {};
}

}  // namespace

BITVIT_OPERATOR(stencil) {
  op.Input("x", "f32 [N,C]").Grid().List("groups", "1", "C").Boolean("wrap").Integer("divisor", "1", "16777216");
  op.Output("y", "f32 [N,C]").Divides("groups", "C", ErrorCode::kOperatorAttribute);
  op.Tiled().FloatOperations("N*C*operations/groups");
  op.check_attributes = CheckTaps;
  op.MakeWith<StencilOperator>();
}

}  // namespace bitvit

#include "engine/expansions.h"

#include "engine/engine.h"
#include "ops/declaration.h"
#include "ops/operator.h"

namespace bitvit {
namespace {

class ExpansionFinder {
 public:
  ExpansionFinder(const std::vector<Value>& values, const std::vector<Step>& steps, size_t first, size_t end,
                  const std::vector<size_t>& uses)
      : values_(values), steps_(steps), first_(first), end_(end), uses_(uses) {
    size_t n = 0;
    for (size_t s = first; s < end; ++s) {
      operands_.push_back(n);
      n += steps[s].inputs.size() + steps[s].outputs.size();
    }
  }

  std::vector<ExpandedProduct> Find() {
    std::vector<ExpandedProduct> found;
    for (size_t s = first_; s < end_; ++s) {
      ExpandedProduct expanded;
      if (Expand(s, expanded)) found.push_back(expanded);
    }
    return found;
  }

 private:
  size_t InputPlace(size_t s, size_t i) const { return operands_[s - first_] + i; }
  size_t OutputPlace(size_t s) const { return InputPlace(s, steps_[s].inputs.size()); }
  size_t Output(size_t s) const { return steps_[s].outputs[0]; }

  // The next step that reads the value, or end_.
  size_t Reader(size_t value, size_t after) const {
    for (size_t s = after + 1; s < end_; ++s) {
      for (const size_t input : steps_[s].inputs) {
        if (input == value) return s;
      }
    }
    return end_;
  }

  // The step of the group that writes the value, or end_.
  size_t Writer(size_t value) const {
    for (size_t s = first_; s < end_; ++s) {
      if (Output(s) == value) return s;
    }
    return end_;
  }

  bool IsLink(size_t s, PointwiseKind kind, PointwiseLink* link) const {
    return s != end_ && steps_[s].op->IsPointwise(link) && link->kind == kind;
  }

  bool Expand(size_t product, ExpandedProduct& expanded) const {
    const Step& step = steps_[product];
    if (step.inputs.size() != 1 || uses_[Output(product)] != 1) return false;
    PointwiseLink sum, rprelu, sign;
    const size_t sum_step = Reader(Output(product), product);
    if (!IsLink(sum_step, PointwiseKind::kAdd, &sum) || steps_[sum_step].inputs.size() != 2) return false;
    const size_t is_second = steps_[sum_step].inputs[1] == Output(product) ? 1 : 0;
    const size_t repeated = steps_[sum_step].inputs[1 - is_second];
    const size_t repetition = Writer(repeated);
    if (repetition == end_ || !steps_[repetition].declaration->repeats_channels || uses_[repeated] != 1) return false;
    const size_t other = steps_[repetition].inputs[0], other_step = Writer(other);
    if (other_step != end_ && other_step > product) return false;
    if (uses_[Output(sum_step)] != 1) return false;
    const size_t rprelu_step = Reader(Output(sum_step), sum_step);
    if (!IsLink(rprelu_step, PointwiseKind::kRprelu, &rprelu) || uses_[Output(rprelu_step)] != 2) return false;
    size_t sign_step = Reader(Output(rprelu_step), rprelu_step);
    size_t mean_step = sign_step == end_ ? end_ : Reader(Output(rprelu_step), sign_step);
    if (mean_step == end_) return false;
    if (!IsLink(sign_step, PointwiseKind::kSign, &sign)) std::swap(sign_step, mean_step);
    if (!IsLink(sign_step, PointwiseKind::kSign, &sign)) return false;
    const Expansion expansion = {values_[other].width(),
                                 steps_[mean_step].op->mean_group(),
                                 {rprelu.parameters[0], rprelu.parameters[1], rprelu.parameters[2]},
                                 sign.parameters[0]};
    if (expansion.group == 0 || !step.op->Expand(expansion)) return false;
    expanded = {product,
                InputPlace(product, 0),
                InputPlace(repetition, 0),
                OutputPlace(sign_step),
                OutputPlace(mean_step),
                {repetition, sum_step, rprelu_step, sign_step, mean_step}};
    return true;
  }

  const std::vector<Value>& values_;
  const std::vector<Step>& steps_;
  const size_t first_, end_;
  const std::vector<size_t>& uses_;
  std::vector<size_t> operands_;  // number of the first one of each step
};

}  // namespace

std::vector<ExpandedProduct> FindExpansions(const std::vector<Value>& values, const std::vector<Step>& steps,
                                            size_t first, size_t end, const std::vector<size_t>& uses) {
  return ExpansionFinder(values, steps, first, end, uses).Find();
}

}  // namespace bitvit

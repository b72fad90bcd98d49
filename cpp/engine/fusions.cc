#include "engine/fusions.h"

#include "engine/engine.h"
#include "engine/planning_steps.h"
#include "ops/declaration.h"
#include "ops/operator.h"

namespace bitvit {
namespace {

class FusionFinder {
 public:
  FusionFinder(const std::vector<Value>& values, const std::vector<Step>& steps, size_t first, size_t end,
               const std::vector<size_t>& uses)
      : values_(values), steps_(steps), first_(first), end_(end), uses_(uses) {
    size_t n = 0;
    for (size_t s = first; s < end; ++s) {
      operands_.push_back(n);
      n += steps[s].inputs.size() + steps[s].outputs.size();
    }
  }

  std::vector<Fusion> Find() {
    std::vector<Fusion> found;
    for (size_t s = first_; s < end_; ++s) {
      Fusion fusion;
      const bool sums = SumStencils(s, fusion);
      if (!sums && !Expand(s, fusion) && !End(s, fusion) && !Add(s, fusion)) continue;
      found.push_back(fusion);
      if (sums) s = fusion.taken.back();
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
      ++planning_steps;
      for (const size_t input : steps_[s].inputs) {
        if (input == value) return s;
      }
    }
    return end_;
  }

  // The step of the group that writes the value, or end_.
  size_t Writer(size_t value) const {
    for (size_t s = first_; s < end_; ++s) {
      ++planning_steps;
      if (Output(s) == value) return s;
    }
    return end_;
  }

  // Whether the value has been written before that step.
  bool IsReadyAt(size_t value, size_t step) const {
    const size_t writer = Writer(value);
    return writer == end_ || writer < step;
  }

  bool IsLink(size_t s, PointwiseKind kind, PointwiseLink* link) const {
    return s != end_ && steps_[s].op->IsPointwise(link) && link->kind == kind;
  }

  bool Expand(size_t product, Fusion& fusion) const {
    const Step& step = steps_[product];
    if (step.inputs.size() != 1 || uses_[Output(product)] != 1) return false;
    PointwiseLink sum, rprelu, sign;
    const size_t sum_step = Reader(Output(product), product);
    if (!IsLink(sum_step, PointwiseKind::kAdd, &sum) || steps_[sum_step].inputs.size() != 2) return false;
    const size_t is_second = steps_[sum_step].inputs[1] == Output(product) ? 1 : 0;
    const size_t repeated = steps_[sum_step].inputs[1 - is_second];
    const size_t repetition = Writer(repeated);
    if (repetition == end_ || !steps_[repetition].declaration->repeats_channels || uses_[repeated] != 1) return false;
    const size_t other = steps_[repetition].inputs[0];
    if (!IsReadyAt(other, product)) return false;
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
    fusion = {product,
              {InputPlace(product, 0), InputPlace(repetition, 0)},
              {OutputPlace(sign_step), OutputPlace(mean_step)},
              {repetition, sum_step, rprelu_step, sign_step, mean_step},
              {Output(product), repeated, Output(sum_step), Output(rprelu_step)}};
    return true;
  }

  // Steps one behind the other, from the first stencil on: scaled stencils of one value, and sums of the last two
  // results that have not been added, until one is left.
  bool SumStencils(size_t first, Fusion& fusion) const {
    const Step& step = steps_[first];
    if (step.op->stencil() == nullptr) return false;
    std::vector<StencilTerm> terms;
    std::vector<size_t> values;  // that have not been added
    size_t s = first;
    while (s < end_) {
      PointwiseLink affine, sum;
      const Stencil* const stencil = steps_[s].op->stencil();
      if (stencil != nullptr) {
        const bool is_term = steps_[s].inputs[0] == step.inputs[0] && uses_[Output(s)] == 1 && s + 1 < end_ &&
                             IsLink(s + 1, PointwiseKind::kAffine, &affine) && steps_[s + 1].inputs[0] == Output(s);
        if (!is_term) break;
        terms.push_back({stencil, affine.parameters[0], affine.parameters[1], 0});
        values.push_back(Output(s + 1));
        s += 2;
      } else {
        if (values.size() < 2 || !IsLink(s, PointwiseKind::kAdd, &sum) || steps_[s].inputs.size() != 2) break;
        const size_t a = values[values.size() - 2], b = values.back();
        const bool adds_both = (steps_[s].inputs[0] == a && steps_[s].inputs[1] == b) ||
                               (steps_[s].inputs[0] == b && steps_[s].inputs[1] == a);
        if (!adds_both || uses_[a] != 1 || uses_[b] != 1) break;
        values.pop_back();
        values.back() = Output(s);
        ++terms.back().n_additions;
        ++s;
      }
    }
    if (terms.size() < 2 || values.size() != 1 || !steps_[first].op->SumStencils(terms)) return false;
    fusion = {first, {InputPlace(first, 0)}, {OutputPlace(s - 1)}, {}, {}};
    for (size_t taken = first; taken < s; ++taken) {
      if (taken != first) fusion.taken.push_back(taken);
      if (taken != s - 1) fusion.unwritten.push_back(Output(taken));
    }
    return true;
  }

  // A sum that would not be the first link of a chain.
  bool Add(size_t s, Fusion& fusion) const {
    const size_t sum_step = s + 1, next = s + 2, y = Output(s);
    PointwiseLink sum, after;
    if (sum_step >= end_ || uses_[y] != 1 || !IsLink(sum_step, PointwiseKind::kAdd, &sum)) return false;
    const std::vector<size_t>& summands = steps_[sum_step].inputs;
    if (summands.size() != 2 || (summands[0] == y) == (summands[1] == y)) return false;
    const size_t i = summands[0] == y ? 1 : 0, writer = Writer(summands[i]);
    if (!IsReadyAt(summands[i], s) || (writer != end_ && steps_[writer].declaration->repeats_channels)) return false;
    if (next < end_ && steps_[next].op->IsPointwise(&after) && Reader(Output(sum_step), sum_step) == next) return false;
    if (!steps_[s].op->Add()) return false;
    fusion = {s, {InputPlace(s, 0), InputPlace(sum_step, i)}, {OutputPlace(sum_step)}, {sum_step}, {y}};
    return true;
  }

  bool End(size_t s, Fusion& fusion) const {
    const size_t affine_step = s + 1, sum_step = s + 2, y = Output(s);
    PointwiseLink affine, sum;
    if (affine_step >= end_ || uses_[y] != 1 || !IsLink(affine_step, PointwiseKind::kAffine, &affine)) return false;
    if (steps_[affine_step].inputs[0] != y) return false;
    const size_t scaled = Output(affine_step);
    size_t other = kNoSum;
    if (sum_step < end_ && uses_[scaled] == 1 && IsLink(sum_step, PointwiseKind::kAdd, &sum)) {
      const std::vector<size_t>& summands = steps_[sum_step].inputs;
      if (summands.size() == 2 && (summands[0] == scaled) != (summands[1] == scaled)) {
        const size_t i = summands[0] == scaled ? 1 : 0, writer = Writer(summands[i]);
        // What repeats channels is better left to a chain, which need not have it written.
        const bool repeats = writer != end_ && steps_[writer].declaration->repeats_channels;
        if (!repeats && IsReadyAt(summands[i], s)) other = i;
      }
    }
    if (!steps_[s].op->EndWith(affine, other != kNoSum)) return false;
    fusion = {s, {InputPlace(s, 0)}, {OutputPlace(affine_step)}, {affine_step}, {y}};
    if (other != kNoSum) {
      fusion.inputs.push_back(InputPlace(sum_step, other));
      fusion.outputs = {OutputPlace(sum_step)};
      fusion.taken.push_back(sum_step);
      fusion.unwritten.push_back(scaled);
    }
    return true;
  }

  static constexpr size_t kNoSum = 2;

  const std::vector<Value>& values_;
  const std::vector<Step>& steps_;
  const size_t first_, end_;
  const std::vector<size_t>& uses_;
  std::vector<size_t> operands_;  // number of the first one of each step
};

}  // namespace

std::vector<Fusion> FindFusions(const std::vector<Value>& values, const std::vector<Step>& steps, size_t first,
                                size_t end, const std::vector<size_t>& uses) {
  return FusionFinder(values, steps, first, end, uses).Find();
}

}  // namespace bitvit

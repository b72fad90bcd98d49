#include "engine/chains.h"

#include <algorithm>

#include "engine/engine.h"
#include "engine/planning_steps.h"
#include "ops/declaration.h"

namespace bitvit {
namespace {

class ChainFinder {
 public:
  ChainFinder(const std::vector<Value>& values, const std::vector<Step>& steps, size_t first, size_t end,
              const std::vector<size_t>& uses, const std::vector<bool>& is_taken)
      : values_(values), steps_(steps), first_(first), end_(end), uses_(uses), is_taken_(is_taken) {
    size_t n = 0;
    for (size_t s = first; s < end; ++s) {
      operands_.push_back(n);
      n += steps[s].inputs.size() + steps[s].outputs.size();
    }
  }

  Chains Find() {
    for (size_t s = first_; s < end_;) {
      const size_t next = Extend(s);
      s = next == s ? s + 1 : next;
    }
    return std::move(found_);
  }

 private:
  size_t InputPlace(size_t s, size_t i) const { return operands_[s - first_] + i; }
  size_t OutputPlace(size_t s) const { return InputPlace(s, steps_[s].inputs.size()); }
  size_t Output(size_t s) const { return steps_[s].outputs[0]; }

  // The step that repeats channels and writes the value for a single reader, which can then do without it; or end_.
  size_t Repetition(size_t value) const {
    for (size_t s = first_; s < end_; ++s) {
      ++planning_steps;
      const bool repeats = Output(s) == value && steps_[s].declaration->repeats_channels && uses_[value] == 1;
      if (repeats && values_[steps_[s].inputs[0]].width() % kPointwiseBlock == 0) return s;
    }
    return end_;
  }

  // Appends step s, which reads the chain's result as input number `running`. Returns false if it is not a link.
  bool Append(size_t s, size_t running, Chain& chain) {
    const Step& step = steps_[s];
    ChainLink link{{}, kNoOperand, OutputPlace(s)};
    if (is_taken_[s - first_] || !step.op->IsPointwise(&link.link)) return false;
    if (step.inputs.size() == 2) {
      if (step.inputs[0] == step.inputs[1]) return false;
      const size_t i = 1 - running, repetition = Repetition(step.inputs[i]);
      link.other = InputPlace(s, i);
      if (repetition != end_) {
        link.other = InputPlace(repetition, 0);
        link.link.other_width = values_[steps_[repetition].inputs[0]].width();
        found_.left_out.push_back(repetition);
        found_.left_out_for.push_back(found_.chains.size());
      }
    }
    chain.links.push_back(link);
    chain.end = s + 1;
    return true;
  }

  // Makes the longest chain that begins with step s; returns where it ends, s if there is none.
  size_t Extend(size_t s) {
    const size_t n_left_out = found_.left_out.size();
    // The first link reads what repeats as its other operand.
    const std::vector<size_t>& inputs = steps_[s].inputs;
    const size_t x = inputs.size() == 2 && Repetition(inputs[0]) != end_ && Repetition(inputs[1]) == end_ ? 1 : 0;
    Chain chain{s, s, InputPlace(s, x), values_[Output(s)].width(), {}};
    if (!Append(s, x, chain)) return s;
    while (chain.end < end_ && chain.links.size() < kMaxLinks && !IsBits(chain.links.back())) {
      const std::vector<size_t>& next = steps_[chain.end].inputs;
      const auto running = std::find(next.begin(), next.end(), Output(chain.end - 1));
      if (running == next.end() || !Append(chain.end, static_cast<size_t>(running - next.begin()), chain)) break;
      if (uses_[Output(chain.end - 2)] == 1) chain.links[chain.links.size() - 2].out = kNoOperand;
    }
    if (chain.links.size() == 1 && found_.left_out.size() == n_left_out) return s;
    found_.chains.push_back(chain);
    return chain.end;
  }

  static bool IsBits(const ChainLink& link) {
    return link.link.kind == PointwiseKind::kSign || link.link.kind == PointwiseKind::kMask;
  }

  const std::vector<Value>& values_;
  const std::vector<Step>& steps_;
  const size_t first_, end_;
  const std::vector<size_t>& uses_;
  const std::vector<bool>& is_taken_;
  std::vector<size_t> operands_;  // number of the first one of each step
  Chains found_;
};

}  // namespace

Chains FindChains(const std::vector<Value>& values, const std::vector<Step>& steps, size_t first, size_t end,
                  const std::vector<size_t>& uses, const std::vector<bool>& is_taken) {
  return ChainFinder(values, steps, first, end, uses, is_taken).Find();
}

void RunChain(const Chain& chain, const PointwiseKernels& kernels, std::byte* const* operands, size_t begin,
              size_t end) {
  PointwiseLink links[kMaxLinks];
  for (size_t i = 0; i < chain.links.size(); ++i) {
    const ChainLink& link = chain.links[i];
    links[i] = link.link;
    if (link.other != kNoOperand) links[i].other = reinterpret_cast<const float*>(operands[link.other]);
    if (link.out == kNoOperand) continue;
    if (link.link.kind == PointwiseKind::kSign || link.link.kind == PointwiseKind::kMask) {
      links[i].bits = reinterpret_cast<uint64_t*>(operands[link.out]);
    } else {
      links[i].out = reinterpret_cast<float*>(operands[link.out]);
    }
  }
  kernels.run(reinterpret_cast<const float*>(operands[chain.x]), links, chain.links.size(), begin, end, chain.width);
}

}  // namespace bitvit

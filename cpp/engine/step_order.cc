#include "engine/step_order.h"

#include <utility>

#include "engine/planning_steps.h"
#include "kernels/pointwise/pointwise.h"
#include "ops/operator.h"

namespace bitvit {
namespace {

constexpr size_t kNone = static_cast<size_t>(-1);

// The steps as a list in which they are moved.
class StepList {
 public:
  StepList(const std::vector<Step>& steps, const std::vector<size_t>& kept, size_t n_values)
      : steps_(steps),
        next_(steps.size() + 1),
        previous_(steps.size() + 1),
        writer_(n_values, kNone),
        reader_(n_values, kNone),
        uses_(n_values, 0) {
    const size_t n = steps.size();  // stands before the first and behind the last
    for (size_t s = 0; s <= n; ++s) {
      next_[s] = s == n ? 0 : s + 1;
      previous_[s] = s == 0 ? n : s - 1;
    }
    for (const size_t value : kept) ++uses_[value];
    for (size_t s = 0; s < n; ++s) {
      for (const size_t value : steps[s].inputs) {
        ++uses_[value];
        reader_[value] = s;
      }
      for (const size_t value : steps[s].outputs) writer_[value] = s;
    }
    planning_steps += n;
  }

  void MoveAll() {
    for (size_t s = 0; s < steps_.size(); ++s) MoveBits(s);
    for (size_t s = 0; s < steps_.size(); ++s) MoveToReader(s);
  }

  std::vector<size_t> Order() const {
    std::vector<size_t> order;
    for (size_t s = next_[steps_.size()]; s != steps_.size(); s = next_[s]) order.push_back(s);
    return order;
  }

 private:
  bool IsPointwise(size_t s) const {
    PointwiseLink link;
    return s < steps_.size() && steps_[s].op->IsPointwise(&link);
  }

  bool IsBits(size_t s) const {
    PointwiseLink link;
    if (!steps_[s].op->IsPointwise(&link)) return false;
    return link.kind == PointwiseKind::kSign || link.kind == PointwiseKind::kMask;
  }

  bool Reads(size_t s, size_t value) const {
    if (s == steps_.size()) return false;
    for (const size_t input : steps_[s].inputs) {
      if (input == value) return true;
    }
    return false;
  }

  // Behind the element-wise step that writes what becomes bits, unless a chain goes on there.
  void MoveBits(size_t s) {
    if (!IsBits(s)) return;
    const size_t value = steps_[s].inputs[0], writer = writer_[value];
    if (writer == kNone || !IsPointwise(writer) || IsBits(writer) || next_[writer] == s) return;
    if (IsPointwise(next_[writer]) && Reads(next_[writer], value)) return;
    Move(s, writer);
  }

  // Before the element-wise step that alone reads the result, unless the step is in a chain or a fusion where it is.
  void MoveToReader(size_t s) {
    if (!IsPointwise(s) || IsBits(s) || steps_[s].inputs.size() != 1) return;
    const size_t out = steps_[s].outputs[0], writer = writer_[steps_[s].inputs[0]], reader = reader_[out];
    if (uses_[out] != 1 || reader == kNone || !IsPointwise(reader) || next_[s] == reader) return;
    if (writer == kNone || IsPointwise(writer) || steps_[writer].op->stencil() != nullptr) return;
    Move(s, previous_[reader]);
  }

  void Move(size_t s, size_t behind) {
    next_[previous_[s]] = next_[s];
    previous_[next_[s]] = previous_[s];
    next_[s] = next_[behind];
    previous_[s] = behind;
    previous_[next_[behind]] = s;
    next_[behind] = s;
  }

  const std::vector<Step>& steps_;
  std::vector<size_t> next_, previous_;
  std::vector<size_t> writer_, reader_;  // the last one
  std::vector<size_t> uses_;
};

}  // namespace

void OrderSteps(std::vector<Step>& steps, const std::vector<size_t>& kept, size_t n_values) {
  StepList list(steps, kept, n_values);
  list.MoveAll();
  std::vector<Step> ordered;
  ordered.reserve(steps.size());
  for (const size_t s : list.Order()) ordered.push_back(std::move(steps[s]));
  steps = std::move(ordered);
}

}  // namespace bitvit

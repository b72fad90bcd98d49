#include "engine/memory_plan.h"

#include <algorithm>
#include <numeric>

#include "base/aligned_buffer.h"

namespace bitvit {

MemoryPlan PlanMemory(const std::vector<Lifetime>& lifetimes) {
  MemoryPlan plan = {std::vector<size_t>(lifetimes.size(), 0), 0};
  std::vector<size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].size_bytes > lifetimes[b].size_bytes; });
  std::vector<size_t> placed;  // by offset
  for (const size_t i : order) {
    const size_t size = AlignUp(lifetimes[i].size_bytes);
    size_t offset = 0;
    for (const size_t j : placed) {
      if (lifetimes[j].last < lifetimes[i].first || lifetimes[j].first > lifetimes[i].last) continue;
      if (offset + size <= plan.offsets[j]) break;
      offset = std::max(offset, plan.offsets[j] + AlignUp(lifetimes[j].size_bytes));
    }
    plan.offsets[i] = offset;
    plan.size_bytes = std::max(plan.size_bytes, offset + size);
    const auto position = std::upper_bound(placed.begin(), placed.end(), offset,
                                           [&](size_t value, size_t j) { return value < plan.offsets[j]; });
    placed.insert(position, i);
  }
  return plan;
}

}  // namespace bitvit

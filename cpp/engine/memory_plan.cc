#include "engine/memory_plan.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/aligned_buffer.h"
#include "base/red_zones.h"
#include "engine/planning_steps.h"

namespace bitvit {
namespace {

// Beyond so many values the time of the better plan, which grows with their square, would be felt.
constexpr size_t kMaxBySize = 2048;

// The largest first, each at the lowest place that is free for all its life.
MemoryPlan PlanBySize(const std::vector<Lifetime>& lifetimes) {
  MemoryPlan plan = {std::vector<size_t>(lifetimes.size(), 0), 0};
  std::vector<size_t> order;
  for (size_t i = 0; i < lifetimes.size(); ++i) {
    if (lifetimes[i].size_bytes != 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].size_bytes > lifetimes[b].size_bytes; });
  std::vector<size_t> placed;  // by offset
  for (const size_t i : order) {
    const size_t size = AlignUp(lifetimes[i].size_bytes);
    size_t offset = 0;
    planning_steps += placed.size();
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

// Free memory, by place and by size.
class FreeBlocks {
 public:
  // The smallest block that fits; else the end of the memory grows.
  size_t Take(size_t size) {
    const auto found = by_size_.lower_bound({size, 0});
    if (found == by_size_.end()) {
      const size_t offset = end_;
      end_ += size;
      return offset;
    }
    const auto [block_size, offset] = *found;
    by_size_.erase(found);
    by_offset_.erase(offset);
    if (block_size > size) Add(offset + size, block_size - size);
    return offset;
  }
  void Give(size_t offset, size_t size) {
    const auto next = by_offset_.lower_bound(offset);
    if (next != by_offset_.end() && offset + size == next->first) {
      size += next->second;
      Remove(next);
    }
    const auto after = by_offset_.lower_bound(offset);
    if (after != by_offset_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == offset) {
        offset = before->first;
        size += before->second;
        Remove(before);
      }
    }
    Add(offset, size);
  }
  size_t end() const { return end_; }

 private:
  void Add(size_t offset, size_t size) {
    by_offset_.emplace(offset, size);
    by_size_.emplace(size, offset);
  }
  void Remove(std::map<size_t, size_t>::iterator block) {
    by_size_.erase({block->second, block->first});
    by_offset_.erase(block);
  }

  std::map<size_t, size_t> by_offset_;
  std::set<std::pair<size_t, size_t>> by_size_;
  size_t end_ = 0;
};

// In the order of time.
MemoryPlan PlanByTime(const std::vector<Lifetime>& lifetimes) {
  MemoryPlan plan = {std::vector<size_t>(lifetimes.size(), 0), 0};
  std::vector<size_t> by_first(lifetimes.size());
  std::iota(by_first.begin(), by_first.end(), size_t{0});
  std::vector<size_t> by_last = by_first;
  std::stable_sort(by_first.begin(), by_first.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].first < lifetimes[b].first; });
  std::stable_sort(by_last.begin(), by_last.end(),
                   [&](size_t a, size_t b) { return lifetimes[a].last < lifetimes[b].last; });
  FreeBlocks blocks;
  planning_steps += 2 * lifetimes.size();
  auto ended = by_last.begin();
  for (const size_t i : by_first) {
    for (; ended != by_last.end() && lifetimes[*ended].last < lifetimes[i].first; ++ended) {
      const size_t size = AlignUp(lifetimes[*ended].size_bytes);
      if (size != 0) blocks.Give(plan.offsets[*ended], size);
    }
    const size_t size = AlignUp(lifetimes[i].size_bytes);
    if (size != 0) plan.offsets[i] = blocks.Take(size);
  }
  plan.size_bytes = blocks.end();
  return plan;
}

// One after the other, with red zones between them.
[[maybe_unused]] MemoryPlan PlanApart(const std::vector<Lifetime>& lifetimes) {
  MemoryPlan plan = {{}, kRedZoneBytes};
  for (const Lifetime& lifetime : lifetimes) {
    plan.offsets.push_back(plan.size_bytes);
    if (lifetime.size_bytes != 0) plan.size_bytes += AlignUp(lifetime.size_bytes) + kRedZoneBytes;
  }
  return plan;
}

}  // namespace

MemoryPlan PlanMemory(const std::vector<Lifetime>& lifetimes) {
  if constexpr (kRedZones) return PlanApart(lifetimes);
  const auto is_placed = [](const Lifetime& lifetime) { return lifetime.size_bytes != 0; };
  const auto n_placed = std::count_if(lifetimes.begin(), lifetimes.end(), is_placed);
  return static_cast<size_t>(n_placed) <= kMaxBySize ? PlanBySize(lifetimes) : PlanByTime(lifetimes);
}

}  // namespace bitvit

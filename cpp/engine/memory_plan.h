// Where each value lies in the arena: values that are never alive at the same time share memory.
#pragma once

#include <cstddef>
#include <vector>

namespace bitvit {

struct Lifetime {
  size_t size_bytes;
  size_t first, last;  // steps between which the value must keep its contents, both included
};

struct MemoryPlan {
  std::vector<size_t> offsets;  // of each value, multiples of 64
  size_t size_bytes;
};

// Largest values first, each at the lowest offset that is free for its whole lifetime.
MemoryPlan PlanMemory(const std::vector<Lifetime>& lifetimes);

}  // namespace bitvit

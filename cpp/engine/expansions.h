// Products that compute what follows them as well: the first product of a pyramid's MLP with a sum, rprelu, sign and
// mean_channels (ops/operator.h, Expansion). What passes between them is never written.
#pragma once

#include <cstddef>
#include <vector>

#include "ops/value.h"

namespace bitvit {

struct Step;

// Operands are numbered through the group: inputs, then outputs, of each step in turn.
struct ExpandedProduct {
  size_t product;             // the step
  size_t x, other;            // what it reads
  size_t bits, means;         // what it writes
  std::vector<size_t> taken;  // steps that it does instead
};

// Expansions of the steps first..end-1, which the operators of the products have taken over. uses[i]: how many steps
// read value i, one more if it must be complete at the end.
std::vector<ExpandedProduct> FindExpansions(const std::vector<Value>& values, const std::vector<Step>& steps,
                                            size_t first, size_t end, const std::vector<size_t>& uses);

}  // namespace bitvit

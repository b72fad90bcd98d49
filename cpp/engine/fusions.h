// Operators that also do the work of the steps after them: the first product of a pyramid's MLP that of a sum, rprelu,
// sign and mean_channels, the first of several stencils that of all and of their sum, a stencil that of an affine and a
// sum, a product that of a sum (ops/operator.h). What passes between them is never written.
#pragma once

#include <cstddef>
#include <vector>

#include "ops/value.h"

namespace bitvit {

struct Step;

// Operands are numbered through the group: inputs, then outputs, of each step in turn.
struct Fusion {
  size_t step;
  std::vector<size_t> inputs, outputs;  // operands
  std::vector<size_t> taken;            // the steps after it
  std::vector<size_t> unwritten;        // values
};

// Fusions of the steps first..end-1, which their operators have taken over. uses[i]: how many steps read value i, one
// more if it must be complete at the end.
std::vector<Fusion> FindFusions(const std::vector<Value>& values, const std::vector<Step>& steps, size_t first,
                                size_t end, const std::vector<size_t>& uses);

}  // namespace bitvit

// Element-wise operators of a row group that follow one another, each reading the result of the one before: they run
// on registers (kernels/pointwise), and results that nobody else reads are never written.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/pointwise/pointwise.h"
#include "ops/value.h"

namespace bitvit {

struct Step;

inline constexpr size_t kNoOperand = static_cast<size_t>(-1);

// Operands are numbered through the group: inputs, then outputs, of each step in turn.
struct ChainLink {
  PointwiseLink link;  // without the places of operands
  size_t other, out;   // kNoOperand: a constant or none; not needed
};

struct Chain {
  size_t first, end;  // steps
  size_t x, width;
  std::vector<ChainLink> links;
};

inline constexpr size_t kMaxLinks = 16;

// What becomes of the steps of a group.
struct Chains {
  std::vector<Chain> chains;
  // Steps that repeat channels and whose only reader is a link, which reads their input itself. In the order of the
  // steps.
  std::vector<size_t> left_out;
  // That link's chain.
  std::vector<size_t> left_out_for;
};

// Chains of the steps first..end-1, but for those that is_taken[step - first] gives to others. uses[i]: how many steps
// read value i, one more if it must be complete at the end.
Chains FindChains(const std::vector<Value>& values, const std::vector<Step>& steps, size_t first, size_t end,
                  const std::vector<size_t>& uses, const std::vector<bool>& is_taken);

// The rows begin..end - 1. operands: where row 0 of the group's operands lies.
void RunChain(const Chain& chain, const PointwiseKernels& kernels, std::byte* const* operands, size_t begin,
              size_t end);

}  // namespace bitvit

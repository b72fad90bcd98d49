// All operators there are.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ops/declaration.h"
#include "ops/operator.h"
#include "ops/spec.h"

namespace bitvit {

// Sorted by name.
const std::vector<OperatorDeclaration>& Operators();
// nullptr if there is none of that name.
const OperatorDeclaration* FindOperator(std::string_view name);

// Whether the operator is used as docs/format.md says. Lays out nothing.
Status CheckOperator(const OperatorSpec& spec);

// Checks, and lays out the parameters for the kernels.
Result<std::unique_ptr<Operator>> MakeOperator(const OperatorSpec& spec);

// Of one run on one image. A comparison and a table look-up count as one float operation.
struct OperatorCost {
  uint64_t binary_multiply_adds, multiply_adds, float_operations;
  uint64_t parameter_bytes;
  uint64_t layout_bytes;   // that an engine keeps besides the parameters, at most
  uint64_t scratch_bytes;  // that one thread needs besides the values, at most

  uint64_t operations() const { return binary_multiply_adds + multiply_adds + float_operations; }
};

// Checks and counts.
Result<OperatorCost> CostOfOperator(const OperatorSpec& spec);

}  // namespace bitvit

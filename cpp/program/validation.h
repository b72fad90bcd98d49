// Whether a Program and its tensors are what docs/format.md says. Whatever runs a Program relies on these checks.
#pragma once

#include "base/result.h"
#include "program/container.h"
#include "program/program.h"

namespace bitvit {

struct Model;

// Order of definition, every operator, the ends, the limits.
Status CheckProgram(const Program& program, const TensorMap& tensors);

// That task, preprocessing, labels and colors fit the Program, which has been checked.
Status CheckModel(const Model& model);

// Operator `index` with its values and tensors looked up. The Program's order must have been checked.
Result<OperatorSpec> SpecOf(const Program& program, const TensorMap& tensors, size_t index);

// What the limits count for one operator: its parameters as kernels want them, and its scratch. No instruction set
// needs more.
struct OperatorMemory {
  uint64_t parameter_bytes, scratch_bytes;
};
Result<OperatorMemory> MemoryOfOperator(const OperatorSpec& spec);

}  // namespace bitvit

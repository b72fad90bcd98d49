#include "ops/registry.h"

#include <algorithm>

#include "base/text.h"
#include "ops/check.h"

namespace bitvit {

// Written by CMake: X(name) for every line BITVIT_OPERATOR(name) in cpp/ops.
#include "operator_names.inc"

#define BITVIT_DECLARE(name) OperatorDeclaration DeclareOperator_##name();
BITVIT_OPERATOR_NAMES(BITVIT_DECLARE)
#undef BITVIT_DECLARE

namespace {

// The place of the axis N in the first form of an operand; -1 if there is none.
int RowAxis(const Operand& operand) {
  const Pattern& pattern = operand.patterns.front();
  const auto found = std::find(pattern.axes.begin(), pattern.axes.end(), "N");
  return found == pattern.axes.end() ? -1 : static_cast<int>(found - pattern.axes.begin());
}

OperatorDeclaration Completed(OperatorDeclaration op) {
  for (std::vector<Operand>* const operands : {&op.inputs, &op.outputs, &op.parameters}) {
    for (Operand& operand : *operands) operand.patterns = ParsePatterns(operand.type);
  }
  for (Operand& operand : op.inputs) operand.row_axis = RowAxis(operand);
  for (Operand& operand : op.outputs) operand.row_axis = RowAxis(operand);
  while (op.is_row_wise && op.n_aligned < op.inputs.size() && op.inputs[op.n_aligned].row_axis == 0) ++op.n_aligned;
  return op;
}

}  // namespace

const std::vector<OperatorDeclaration>& Operators() {
  static const std::vector<OperatorDeclaration> operators = {
#define BITVIT_CALL(name) Completed(DeclareOperator_##name()),
      BITVIT_OPERATOR_NAMES(BITVIT_CALL)
#undef BITVIT_CALL
  };
  return operators;
}

const OperatorDeclaration* FindOperator(std::string_view name) {
  const std::vector<OperatorDeclaration>& all = Operators();
  const auto found = std::lower_bound(all.begin(), all.end(), name,
                                      [](const OperatorDeclaration& op, std::string_view n) { return op.name < n; });
  return found == all.end() || found->name != name ? nullptr : &*found;
}

namespace {

Error Unknown(const OperatorSpec& spec) {
  return {ErrorCode::kUnknownOperator, "operator " + std::to_string(spec.index) + ": unknown kind " +
                                           Quoted(spec.kind) + "; a newer bitvit may know it"};
}

}  // namespace

Status CheckOperator(const OperatorSpec& spec) {
  const OperatorDeclaration* const declaration = FindOperator(spec.kind);
  if (declaration == nullptr) return Unknown(spec);
  Operands operands(spec);
  return CheckAgainst(*declaration, spec, operands);
}

Result<std::unique_ptr<Operator>> MakeOperator(const OperatorSpec& spec) {
  const OperatorDeclaration* const declaration = FindOperator(spec.kind);
  if (declaration == nullptr) return Unknown(spec);
  Operands operands(spec);
  // Also where the whole file has been checked: the kernels trust the sizes of their operands, and Programs can be
  // built without a file. Only float parameters are read for it, a small part of loading.
  BITVIT_TRY(CheckAgainst(*declaration, spec, operands));
  return declaration->make(operands);
}

Result<OperatorCost> CostOfOperator(const OperatorSpec& spec) {
  const OperatorDeclaration* const declaration = FindOperator(spec.kind);
  if (declaration == nullptr) return Unknown(spec);
  Operands operands(spec);
  BITVIT_TRY(CheckAgainst(*declaration, spec, operands));
  OperatorCost cost = {operands.Cost(declaration->binary_multiply_adds), operands.Cost(declaration->multiply_adds),
                       operands.Cost(declaration->float_operations),     0,
                       operands.Cost(declaration->layout_bytes),         operands.Cost(declaration->scratch_bytes)};
  for (const auto& [name, tensor] : spec.tensors)
    cost.parameter_bytes += tensor.n_elements() * DataTypeSize(tensor.type);
  return cost;
}

}  // namespace bitvit

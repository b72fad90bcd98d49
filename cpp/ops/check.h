// Checks an operator of a Program against its declaration.
#pragma once

#include "ops/operands.h"

namespace bitvit {

// Everything that docs/format.md asks of the operator. `operands` then has the values of all names.
Status CheckAgainst(const OperatorDeclaration& declaration, const OperatorSpec& spec, Operands& operands);

}  // namespace bitvit

#pragma once

#include <nanobind/nanobind.h>

namespace bitvit {

// operators, check_operator, operator_cost.
void BindOperators(nanobind::module_& m);

}  // namespace bitvit

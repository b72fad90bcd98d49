// Files and Programs: reading, checking, building.
#pragma once

#include <nanobind/nanobind.h>

namespace bitvit {

void BindModel(nanobind::module_& m);

}  // namespace bitvit

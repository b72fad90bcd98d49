// The Python class Engine: runs with the global interpreter lock released, ends early on Ctrl-C and when the
// interpreter shuts down.
#pragma once

#include <nanobind/nanobind.h>

namespace bitvit {

void BindEngine(nanobind::module_& m);

}  // namespace bitvit

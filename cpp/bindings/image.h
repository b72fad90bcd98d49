// Resizing and fitting of images for Python.
#pragma once

#include <nanobind/nanobind.h>

namespace bitvit {

void BindImage(nanobind::module_& m);

}  // namespace bitvit

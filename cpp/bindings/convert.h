// From Python's objects to what cpp/ops works with.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <map>
#include <string>

#include "ops/spec.h"

namespace bitvit {

using InputArray = nanobind::ndarray<nanobind::ro, nanobind::c_contig, nanobind::device::cpu>;

std::map<std::string, Attribute> ToAttributes(const nanobind::dict& attributes);
// Copies: nobody can change them between the checks and their use.
std::map<std::string, Tensor> ToTensors(const nanobind::dict& tensors);

}  // namespace bitvit

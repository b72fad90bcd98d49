// From Python's objects to what cpp/ops works with.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <map>
#include <string>
#include <vector>

#include "ops/spec.h"

namespace bitvit {

using InputArray = nanobind::ndarray<nanobind::ro, nanobind::c_contig, nanobind::device::cpu>;

// The sizes of a shape: those beyond 64 bits become the nearest 64-bit number, and anything but an integer becomes -1.
std::vector<long long> ToShape(nanobind::handle sizes);
std::map<std::string, Attribute> ToAttributes(const nanobind::dict& attributes);
// Copies: nobody can change them between the checks and their use.
std::map<std::string, Tensor> ToTensors(const nanobind::dict& tensors);

}  // namespace bitvit

// The order in which the engine runs the steps of a Program.
#pragma once

#include <vector>

#include "engine/engine.h"

namespace bitvit {

// Moves element-wise steps next to those with which they make a chain (engine/chains.h): bits right behind the step
// that writes their input, what only one later step reads right before that. Every value is still written before it is
// read, and results are the same. `kept`: values that are outputs.
void OrderSteps(std::vector<Step>& steps, const std::vector<size_t>& kept, size_t n_values);

}  // namespace bitvit

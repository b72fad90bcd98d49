// Counts the steps of the loops in which the building of an engine looks for something, so that a test can hold them
// against the size of a network without a clock.
#pragma once

#include <cstddef>

namespace bitvit {

inline thread_local size_t planning_steps = 0;

}  // namespace bitvit

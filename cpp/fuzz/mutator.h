// Changes a .bitvit file such that it often stays one: the fuzzer's way past the checksum and the checks of shapes.
#pragma once

#include <cstdint>
#include <string>

#include "fuzz/parts.h"

namespace bitvit {

// One to four changes of metadata, Program and tensors, by `seed`. Most files are then repaired: labels and
// preprocessing follow the Program, what nothing uses is left out.
void Mutate(Parts& parts, uint64_t seed);

// Gives back the memory that Split, Mutate and Join have used.
void ForgetMutation();

}  // namespace bitvit

// Operators that the fuzzer puts between two others of a Program.
#pragma once

#include "fuzz/arena_json.h"
#include "fuzz/parts.h"
#include "fuzz/random.h"

namespace bitvit {

// Lets the value [N, C] of type f32 that input `place` of operator `reader` reads go through some more operators, which
// give it the same shape again. Returns false if it is not such a value.
bool InsertOperators(ArenaJson& program, Parts& parts, Random& random, size_t reader, size_t place);

}  // namespace bitvit

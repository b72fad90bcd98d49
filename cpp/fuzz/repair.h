// What makes a changed file one that the reader mostly accepts.
#pragma once

#include <string>

#include "fuzz/arena_json.h"
#include "fuzz/parts.h"

namespace bitvit {

// The text of a JSON value; bytes that are not UTF-8 are replaced.
std::string Dump(const ArenaJson& value);

// Labels, colors and preprocessing follow the Program; what no operator uses is left out. `program` has operators and
// values with the fields that the mutator looks at.
void Repair(ArenaJson& program, Parts& file);

}  // namespace bitvit

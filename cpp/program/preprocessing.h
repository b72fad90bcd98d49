// The metadata entry `preprocessing`.
#pragma once

#include <string_view>

#include "base/result.h"
#include "program/model.h"

namespace bitvit {

// Reads it and checks all that does not depend on the Program. Errors: Metadata for a text that is not JSON, else
// Preprocessing.
Result<Preprocessing> ReadPreprocessing(std::string_view text);

}  // namespace bitvit

// Types and shapes as an operator declares them: "f32 [N,C] | sign [N,H,D]" (ops/declaration.h, Operand).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ops/expression.h"
#include "ops/value.h"

namespace bitvit {

// One form of a declared operand.
struct Pattern {
  std::vector<std::string_view> types;
  std::vector<std::string_view> axes;
  bool has_rest = false;         // "..." after the axes
  bool may_split_heads = false;  // " or heads"

  bool HasType(std::string_view type) const;
};

std::vector<Pattern> ParsePatterns(std::string_view text);

// The names of an operator's sizes with their values so far, and the further axes that "..." stands for.
struct Sizes {
  Symbols symbols;
  bool has_rest = false;
  Shape rest = {};

  // Whether the axes are those of the pattern; then gives values to the names that have none.
  bool Match(const Pattern& pattern, const Shape& shape);
  // "[N,O] with N = 3", as far as known, for messages.
  std::string Describe(const Pattern& pattern) const;
};

}  // namespace bitvit

// Sizes and numbers of operations as text, the way an operator declares them: "N*K*O", "(h+2*padding-kernel)/stride+1".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace bitvit {

// Values of names. The names must outlive it: they are those of the declarations.
class Symbols {
 public:
  void Bind(std::string_view name, int64_t value) { entries_.emplace_back(name, value); }
  const int64_t* Find(std::string_view name) const {
    for (const auto& [known, value] : entries_) {
      if (known == name) return &value;
    }
    return nullptr;
  }

 private:
  std::vector<std::pair<std::string_view, int64_t>> entries_;  // few: a search from the front is fast
};

// Integers, names, parentheses, + - * and / (of numbers that are not negative, rounded down), in 64 bits whatever the
// machine; results beyond them become the largest one. Nothing if a name has no value, or for a division by zero.
std::optional<int64_t> Evaluate(std::string_view expression, const Symbols& symbols);

// Whether the text is one name and nothing else.
bool IsName(std::string_view text);

}  // namespace bitvit

#include "ops/pattern.h"

namespace bitvit {
namespace {

std::vector<std::string_view> Split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

constexpr std::string_view kOrHeads = " or heads";

}  // namespace

bool Pattern::HasType(std::string_view type) const {
  for (const std::string_view known : types) {
    if (known == type) return true;
  }
  return false;
}

std::vector<Pattern> ParsePatterns(std::string_view text) {
  std::vector<Pattern> patterns;
  for (std::string_view form : Split(text, " | ")) {
    Pattern pattern;
    if (form.size() > kOrHeads.size() && form.substr(form.size() - kOrHeads.size()) == kOrHeads) {
      pattern.may_split_heads = true;
      form.remove_suffix(kOrHeads.size());
    }
    const size_t space = form.find(' ');
    pattern.types = Split(form.substr(0, space), "|");
    pattern.axes = Split(form.substr(space + 2, form.size() - space - 3), ",");  // without the brackets
    if (pattern.axes.back() == "...") {
      pattern.has_rest = true;
      pattern.axes.pop_back();
    }
    patterns.push_back(std::move(pattern));
  }
  return patterns;
}

bool Sizes::Match(const Pattern& pattern, const Shape& shape) {
  const size_t n = pattern.axes.size();
  if (pattern.may_split_heads && shape.size() == 3) {  // [N,H,D] in place of [N,C]
    const auto rows = Evaluate(pattern.axes[0], symbols), channels = Evaluate(pattern.axes[1], symbols);
    return rows && channels && static_cast<uint64_t>(*rows) == shape[0] &&
           static_cast<uint64_t>(*channels) == uint64_t{shape[1]} * shape[2];
  }
  if (pattern.has_rest ? shape.size() < n : shape.size() != n) return false;
  Symbols bound = symbols;
  for (size_t i = 0; i < n; ++i) {
    if (pattern.axes[i] == "_") continue;
    const std::optional<int64_t> expected = Evaluate(pattern.axes[i], bound);
    if (expected) {
      if (*expected < 0 || static_cast<uint64_t>(*expected) != shape[i]) return false;
    } else if (IsName(pattern.axes[i])) {
      bound.Bind(pattern.axes[i], static_cast<int64_t>(shape[i]));
    } else {
      return false;
    }
  }
  if (pattern.has_rest) {
    Shape further(shape.begin() + static_cast<std::ptrdiff_t>(n), shape.end());
    if (has_rest && further != rest) return false;
    has_rest = true;
    rest = std::move(further);
  }
  symbols = std::move(bound);
  return true;
}

std::string Sizes::Describe(const Pattern& pattern) const {
  std::string text;
  for (const std::string_view type : pattern.types) text += (text.empty() ? "" : "|") + std::string(type);
  text += " [";
  bool is_first = true;
  const auto append = [&](const std::string& axis) {
    text += (is_first ? "" : ", ") + axis;
    is_first = false;
  };
  for (const std::string_view axis : pattern.axes) {
    const std::optional<int64_t> value = axis == "_" ? std::nullopt : Evaluate(axis, symbols);
    append(value ? std::to_string(*value) : std::string(axis));
  }
  if (pattern.has_rest && !has_rest) append("...");
  if (pattern.has_rest && has_rest) {
    for (const size_t size : rest) append(std::to_string(size));
  }
  return text + "]" + (pattern.may_split_heads ? std::string(kOrHeads) : "");
}

}  // namespace bitvit

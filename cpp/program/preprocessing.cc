#include "program/preprocessing.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "program/fields.h"
#include "program/limits.h"

namespace bitvit {
namespace {

constexpr double kMaxNumber = 1e30;

Error Wrong(const std::string& message) { return {ErrorCode::kPreprocessing, message}; }

Result<size_t> ReadInteger(const Json& json, const std::string& name, size_t low, size_t high) {
  if (json.type() != JsonType::kInteger || json.integer() < static_cast<int64_t>(low) ||
      json.integer() > static_cast<int64_t>(high)) {
    return Wrong(name + " must be an integer from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return static_cast<size_t>(json.integer());
}

Result<std::vector<double>> ReadNumbers(const Json& json, const std::string& name, size_t n) {
  const Error wrong = Wrong(name + " must be " + std::to_string(n) + " finite numbers");
  if (!json.is_array() || json.size() != n) return wrong;
  std::vector<double> numbers;
  Json number = json.first();
  for (size_t i = 0; i < n; ++i, number = number.next()) {
    if (number.type() != JsonType::kInteger && number.type() != JsonType::kNumber) return wrong;
    if (!(std::fabs(number.number()) <= kMaxNumber)) return wrong;
    numbers.push_back(number.number());
  }
  return numbers;
}

Result<Preprocessing> FromJson(const Json& json) {
  BITVIT_ASSIGN(
      const Fields fields,
      Fields::Read(json, "preprocessing",
                   {"image_size", "channels", "fit", "resize_size", "interpolation", "mean", "std"}, {"value_range"}));
  Preprocessing result;
  const Json size = fields["image_size"];
  if (!size.is_array() || size.size() != 2) return Wrong("image_size must be [height, width]");
  BITVIT_ASSIGN(result.height, ReadInteger(size.first(), "the height of image_size", 1, kMaxImageSide));
  BITVIT_ASSIGN(result.width, ReadInteger(size.first().next(), "the width of image_size", 1, kMaxImageSide));
  BITVIT_ASSIGN(result.channels, ReadInteger(fields["channels"], "channels", 1, 4));
  if (result.channels == 2) return Wrong("channels must be 1, 3 or 4");
  BITVIT_ASSIGN(const std::string fit, ReadString(fields["fit"], "fit"));
  if (fit != "crop" && fit != "stretch") return Wrong("fit must be 'crop' or 'stretch', not " + Quoted(fit));
  result.stretch = fit == "stretch";
  // Beyond this a small network could ask for a huge resized image.
  const size_t larger = std::max(result.height, result.width);
  const size_t limit = result.stretch ? larger : std::min(larger * kMaxResizeFactor, kMaxImageSide);
  BITVIT_ASSIGN(result.resize_size, ReadInteger(fields["resize_size"], "resize_size", larger, limit));
  BITVIT_ASSIGN(const std::string name, ReadString(fields["interpolation"], "interpolation"));
  const std::optional<Interpolation> interpolation = InterpolationNamed(name);
  if (!interpolation.has_value()) return Wrong("unknown interpolation " + Quoted(name));
  result.interpolation = *interpolation;
  BITVIT_ASSIGN(result.mean, ReadNumbers(fields["mean"], "mean", result.channels));
  BITVIT_ASSIGN(result.std, ReadNumbers(fields["std"], "std", result.channels));
  if (std::any_of(result.std.begin(), result.std.end(), [](double number) { return !(number > 0); })) {
    return Wrong("std must be positive");
  }
  if (fields.Has("value_range")) {
    BITVIT_ASSIGN(const std::vector<double> range, ReadNumbers(fields["value_range"], "value_range", 2));
    if (!(range[0] < range[1])) return Wrong("value_range must be [low, high] with low < high");
    result.value_range = {range[0], range[1]};
  }
  return result;
}

}  // namespace

Result<Preprocessing> ReadPreprocessing(std::string_view text) {
  BITVIT_ASSIGN(const JsonDocument document,
                ParseJson(text, "'preprocessing'", kMaxPreprocessingValues, ErrorCode::kPreprocessing));
  Result<Preprocessing> result = FromJson(document.root());
  if (!result.ok()) return Wrong(result.error().message);
  return result;
}

}  // namespace bitvit

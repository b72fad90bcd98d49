#include "program/fields.h"

#include <algorithm>

#include "base/text.h"

namespace bitvit {

Result<Fields> Fields::Read(const Json& json, const std::string& what, std::initializer_list<const char*> required,
                            std::initializer_list<const char*> optional) {
  if (!json.is_object()) return Error{ErrorCode::kMetadata, what + " must be a JSON object"};
  const Fields fields(json);
  for (const char* name : required) {
    if (!fields.Has(name)) return Error{ErrorCode::kMetadata, what + " lacks " + Quoted(name)};
  }
  Json key = json.first();
  for (size_t i = 0; i < json.size(); ++i, key = key.next().next()) {
    const auto is_key = [&](const char* name) { return key.string() == name; };
    if (std::none_of(required.begin(), required.end(), is_key) &&
        std::none_of(optional.begin(), optional.end(), is_key)) {
      return Error{ErrorCode::kMetadata, what + " has the unknown key " + Quoted(key.string())};
    }
  }
  return fields;
}

bool Fields::Has(std::string_view name) const {
  Json key = json_.first();
  for (size_t i = 0; i < json_.size(); ++i, key = key.next().next()) {
    if (key.string() == name) return true;
  }
  return false;
}

Json Fields::operator[](std::string_view name) const {
  Json key = json_.first();
  for (size_t i = 0; i < json_.size() && key.string() != name; ++i) key = key.next().next();
  return key.next();
}

Result<std::string> ReadString(const Json& json, const std::string& what) {
  if (!json.is_string()) return Error{ErrorCode::kMetadata, what + " must be a string"};
  return std::string(json.string());
}

Status RequireList(const Json& json, const std::string& what) {
  if (!json.is_array()) return {ErrorCode::kMetadata, what + " must be a list"};
  return {};
}

}  // namespace bitvit

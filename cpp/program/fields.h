// JSON objects with a fixed set of keys.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"
#include "program/json.h"

namespace bitvit {

// The values of an object that has all of `required`, maybe some of `optional`, and nothing else. `what` begins the
// message.
class Fields {
 public:
  static Result<Fields> Read(const Json& json, const std::string& what, std::initializer_list<const char*> required,
                             std::initializer_list<const char*> optional = {});

  bool Has(std::string_view name) const;
  Json operator[](std::string_view name) const;  // a field that is there

 private:
  explicit Fields(const Json& json) : json_(json) {}

  Json json_;
};

Result<std::string> ReadString(const Json& json, const std::string& what);
Status RequireList(const Json& json, const std::string& what);

}  // namespace bitvit

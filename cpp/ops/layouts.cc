#include "ops/layouts.h"

#include <cstdint>

namespace bitvit {
namespace {

struct Writer {
  std::string& text;

  void operator()(long long value) const { text += std::to_string(value); }
  void operator()(double value) const { text += std::to_string(value); }
  void operator()(const std::string& value) const { text += value; }
  void operator()(bool value) const { text += value ? "true" : "false"; }
  void operator()(const AttributeList& list) const {
    text += '[';
    for (const Attribute& item : list) {
      std::visit(*this, item.value);
      text += ',';
    }
    text += ']';
  }
};

}  // namespace

std::string LayoutKey(const OperatorSpec& spec, std::string_view parameter) {
  std::string key = spec.kind + "." + std::string(parameter);
  const auto tensor = spec.tensors.find(std::string(parameter));
  if (tensor != spec.tensors.end()) key += "." + std::to_string(reinterpret_cast<uintptr_t>(tensor->second.data));
  if (!spec.inputs.empty()) key += "." + std::to_string(spec.inputs[0].shape.back());
  for (const auto& [name, attribute] : spec.attributes) {
    key += "." + name + "=";
    std::visit(Writer{key}, attribute.value);
  }
  return key;
}

}  // namespace bitvit

#include "fuzz/repair.h"

#include <algorithm>
#include <set>
#include <vector>

namespace bitvit {
namespace {

using json = ArenaJson;

constexpr size_t kMostLabels = 4096;

json ShapeOf(const json& program, const char* end) {
  if (!program.contains(end) || !program[end].is_string()) return json::array();
  const std::string name = program[end].get<std::string>();
  return program["values"].contains(name) ? program["values"][name]["shape"] : json::array();
}

}  // namespace

std::string Dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

void Repair(json& program, Parts& file) {
  std::set<std::string> values, tensors;
  const auto use = [](const json& name, std::set<std::string>& into) {
    if (name.is_string()) into.insert(name.get<std::string>());
  };
  for (const char* end : {"input", "output"}) {
    if (program.contains(end)) use(program[end], values);
  }
  for (const json& op : program["ops"]) {
    for (const json& name : op["in"]) use(name, values);
    for (const json& name : op["out"]) use(name, values);
    if (!op.contains("tensors") || !op["tensors"].is_object()) continue;
    for (const json& name : op["tensors"]) use(name, tensors);
  }
  json& declared = program["values"];
  for (auto value = declared.begin(); value != declared.end();) {
    value = values.count(value.key()) != 0 ? std::next(value) : declared.erase(value);
  }
  std::vector<TensorPart>& parts = file.tensors;
  parts.erase(
      std::remove_if(parts.begin(), parts.end(), [&](const TensorPart& part) { return tensors.count(part.name) == 0; }),
      parts.end());
  if (declared.empty()) declared["x"] = {{"type", "f32"}, {"shape", {1, 1}}};
  const json image = ShapeOf(program, "input"), output = ShapeOf(program, "output");
  json preprocessing = json::parse(file.metadata["preprocessing"], nullptr, false);
  if (preprocessing.is_object() && image.size() == 3 && image[0].is_number_unsigned() &&
      image[1].is_number_unsigned() && image[2].is_number_unsigned() && image[2].get<uint64_t>() <= 4) {
    preprocessing["image_size"] = {image[0], image[1]};
    preprocessing["channels"] = image[2];
    preprocessing["resize_size"] = std::max(image[0].get<uint64_t>(), image[1].get<uint64_t>());
    for (const char* key : {"mean", "std"}) {
      preprocessing[key] = json::array();
      for (uint64_t i = image[2].get<uint64_t>(); i > 0; --i) preprocessing[key].push_back(0.5);
    }
    file.metadata["preprocessing"] = Dump(preprocessing);
  }
  if (output.size() != 2 || !output[1].is_number_unsigned()) return;
  const uint64_t n_classes = output[1].get<uint64_t>();
  json labels = json::parse(file.metadata["labels"], nullptr, false);
  if (!labels.is_array() || n_classes > kMostLabels || labels.size() == n_classes) return;
  while (labels.size() > n_classes) labels.erase(labels.size() - 1);
  while (labels.size() < n_classes) labels.push_back(std::to_string(labels.size()));
  file.metadata["labels"] = Dump(labels);
  if (file.metadata.count("colors") == 0) return;
  json colors = json::array();
  for (uint64_t i = 0; i < n_classes; ++i) colors.push_back({i % 256, 0, 255});
  file.metadata["colors"] = Dump(colors);
}

}  // namespace bitvit

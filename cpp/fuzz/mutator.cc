#include "fuzz/mutator.h"

#include <cstring>

#include "fuzz/arena_json.h"
#include "fuzz/insertions.h"
#include "fuzz/random.h"
#include "fuzz/random_json.h"
#include "fuzz/repair.h"

namespace bitvit {
namespace {

using json = ArenaJson;

constexpr size_t kMostOperators = 400;

bool IsList(const json& object, const char* key) { return object.contains(key) && object[key].is_array(); }

// Every node of a JSON value that is not a list or an object.
void Leaves(json& node, std::vector<json*>& found) {
  if (!node.is_structured()) {
    found.push_back(&node);
    return;
  }
  for (json& child : node) Leaves(child, found);
}

// Whether operators and values have the fields that the mutator looks at.
bool IsSound(const json& program) {
  for (const json& op : program["ops"]) {
    if (!op.is_object() || !IsList(op, "in") || !IsList(op, "out")) return false;
  }
  for (const json& value : program["values"]) {
    if (!value.is_object() || !IsList(value, "shape")) return false;
  }
  return true;
}

class Mutator {
 public:
  Mutator(Parts& parts, uint64_t seed) : parts_(parts), random_(seed) {}

  void Run() {
    program_ = json::parse(parts_.metadata["program"], nullptr, false);
    is_program_ = program_.is_object() && IsList(program_, "ops") && program_.contains("values") &&
                  program_["values"].is_object() && !program_["values"].empty();
    is_program_ = is_program_ && IsSound(program_);
    for (uint64_t n = 1 + random_.Below(4); n > 0; --n) Change();
    if (is_program_ && !random_.OneIn(8)) Repair(program_, parts_);
    if (is_program_) parts_.metadata["program"] = Dump(program_);
  }

 private:
  void Change() {
    if (!is_program_) return random_.OneIn(3) ? ChangeTensor() : ChangeMetadata();
    switch (random_.Below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return Insert();
      case 4:
      case 5:
        return ChangeSizeEverywhere();
      case 6:
        return ChangeShape();
      case 7:
        return ChangeKindOrType();
      case 8:
      case 9:
        return ChangeAttribute();
      case 10:
        return RemoveOperator();
      case 11:
        return MoveOperator();
      case 12:
        return Rewire();
      case 13:
      case 14:
        return ChangeTensor();
      default:
        return ChangeMetadata();
    }
  }

  json* AnyOperator() {
    json& operators = program_["ops"];
    return operators.empty() ? nullptr : &operators[random_.Below(operators.size())];
  }
  std::string AnyValue() {
    const json& values = program_["values"];
    return std::next(values.begin(), static_cast<std::ptrdiff_t>(random_.Below(values.size()))).key();
  }

  void Insert() {
    json& operators = program_["ops"];
    if (operators.empty() || operators.size() > kMostOperators) return;
    for (int tries = 0; tries < 4; ++tries) {
      const size_t reader = random_.Below(operators.size());
      const json& inputs = operators[reader]["in"];
      if (inputs.empty()) continue;
      if (InsertOperators(program_, parts_, random_, reader, random_.Below(inputs.size()))) return;
    }
  }

  // A size, such as the channels, becomes another wherever it is.
  void ChangeSizeEverywhere() {
    const json& shape = program_["values"][AnyValue()]["shape"];
    if (shape.empty()) return;
    const json& axis = shape[random_.Below(shape.size())];
    if (!axis.is_number_unsigned()) return;
    const uint64_t old = axis.get<uint64_t>();
    const auto wanted = static_cast<uint64_t>(values_.Integer(static_cast<int64_t>(old % (1 << 24))));
    const uint64_t once_more = random_.OneIn(2) ? 0 : old;  // or multiples as well
    const auto changed = [&](uint64_t n) -> uint64_t {
      if (n == old) return wanted;
      if (once_more > 1 && n % once_more == 0) return n / once_more * wanted;
      return n;
    };
    for (json& value : program_["values"]) {
      for (json& size : value["shape"]) {
        if (size.is_number_unsigned()) size = changed(size.get<uint64_t>());
      }
    }
    for (json& op : program_["ops"]) {
      if (!op.contains("attrs")) continue;
      std::vector<json*> leaves;
      Leaves(op["attrs"], leaves);
      for (json* leaf : leaves) {
        if (leaf->is_number_unsigned()) *leaf = changed(leaf->get<uint64_t>());
      }
    }
    for (TensorPart& part : parts_.tensors) {
      for (size_t i = 0; i < part.shape.size(); ++i) {
        const bool is_packed = part.type == "U8" && i + 1 == part.shape.size() && part.shape.size() > 1;
        if (is_packed && part.shape[i] == (old + 7) / 8) {
          part.shape[i] = (wanted + 7) / 8;
        } else {
          part.shape[i] = changed(part.shape[i]);
        }
        if (part.shape[i] == wanted + 1) continue;
        if (part.shape[i] == old + 1) part.shape[i] = wanted + 1;  // tables
      }
    }
  }

  void ChangeShape() {
    json& shape = program_["values"][AnyValue()]["shape"];
    if (random_.OneIn(8) || shape.empty()) {
      random_.OneIn(2) || shape.empty() ? shape.push_back(1) : shape.erase(shape.size() - 1);
      return;
    }
    json& axis = shape[random_.Below(shape.size())];
    axis = values_.Number(axis.is_number() ? axis : json(1));
  }

  void ChangeKindOrType() {
    json* op = AnyOperator();
    if (op == nullptr) return;
    if (random_.OneIn(2)) {
      (*op)["op"] = random_.OneIn(8) ? json("unknown") : (*AnyOperator())["op"];
    } else {
      program_["values"][AnyValue()]["type"] =
          random_.Of<std::string>({"u8", "f32", "i32", "sign", "mask", "ternary", "f64"});
    }
  }

  void ChangeAttribute() {
    std::vector<json*> leaves;
    for (json& op : program_["ops"]) {
      if (op.contains("attrs")) Leaves(op["attrs"], leaves);
    }
    if (leaves.empty()) return;
    json& leaf = *random_.Of(leaves);
    leaf = leaf.is_number() && !random_.OneIn(6) ? values_.Number(leaf) : values_.Anything();
  }

  // Readers of what it wrote read what it read.
  void RemoveOperator() {
    json& operators = program_["ops"];
    if (operators.empty()) return;
    const size_t index = random_.Below(operators.size());
    const json op = operators[index];
    operators.erase(index);
    if (op["in"].empty() || op["out"].empty()) return;
    Replace(op["out"][0], op["in"][random_.Below(op["in"].size())]);
  }

  void Replace(const json& old, const json& by) {
    for (json& op : program_["ops"]) {
      for (json& input : op["in"]) {
        if (input == old) input = by;
      }
    }
    if (program_.contains("output") && program_["output"] == old) program_["output"] = by;
  }

  void MoveOperator() {
    json& operators = program_["ops"];
    if (operators.empty()) return;
    json& a = operators[random_.Below(operators.size())];
    json& b = operators[random_.Below(operators.size())];
    if (random_.OneIn(3)) {
      a = json(b);
    } else {
      std::swap(a, b);
    }
  }

  void Rewire() {
    json* op = AnyOperator();
    if (op == nullptr) return;
    json& places = (*op)[random_.OneIn(8) ? "out" : "in"];
    if (places.empty() || random_.OneIn(16)) {
      places.push_back(AnyValue());
    } else if (random_.OneIn(16)) {
      places.erase(places.size() - 1);
    } else {
      // Mostly of the same type and shape.
      json& place = places[random_.Below(places.size())];
      const std::string old = place.is_string() ? place.get<std::string>() : "";
      for (int tries = 0; tries < 8; ++tries) {
        const std::string other = AnyValue();
        place = other;
        if (program_["values"].contains(old) && program_["values"][old] == program_["values"][other]) break;
      }
    }
    if (random_.OneIn(8) && op->contains("tensors") && (*op)["tensors"].is_object() && !parts_.tensors.empty()) {
      for (json& tensor : (*op)["tensors"]) {
        if (random_.OneIn(2)) tensor = random_.Of(parts_.tensors).name;
      }
    }
  }

  void ChangeTensor() {
    if (parts_.tensors.empty()) return;
    TensorPart& part = parts_.tensors[random_.Below(parts_.tensors.size())];
    switch (random_.Below(8)) {
      case 0:
        if (!part.shape.empty()) {
          uint64_t& axis = part.shape[random_.Below(part.shape.size())];
          axis = static_cast<uint64_t>(values_.Integer(static_cast<int64_t>(axis % (1 << 24))));
        }
        return;
      case 1:
        part.type = random_.Of<std::string>({"F32", "I32", "I16", "I8", "U8", "F16", "F64"});
        return;
      case 2:
        part.shape.push_back(1);
        return;
      default:
        break;
    }
    if (part.bytes.empty()) return;
    if (part.type == "F32" && part.bytes.size() >= sizeof(float)) {
      const float value = random_.OneIn(4) ? random_.Of<float>({0.0f, -0.0f, 1e-45f, 1e-20f, 3e38f, -3e38f, 1e20f,
                                                                __builtin_inff(), __builtin_nanf("")})
                                           : random_.Small();
      const size_t n = part.bytes.size() / sizeof value;
      const bool all = random_.OneIn(4);
      for (size_t i = all ? 0 : random_.Below(n); i < n; i += all ? 1 : n) {
        std::memcpy(&part.bytes[i * sizeof value], &value, sizeof value);
      }
      return;
    }
    for (uint64_t n = 1 + random_.Below(4); n > 0; --n) {
      part.bytes[random_.Below(part.bytes.size())] =
          random_.OneIn(2) ? static_cast<char>(random_.Next()) : random_.Of<char>({0, -1, 127, -128, 1});
    }
  }

  void ChangeMetadata() {
    const std::string key =
        random_.Of<std::string>({"labels", "preprocessing", "colors", "task", "provenance", "format_version", "other"});
    if (key == "task") {
      parts_.metadata[key] = random_.Of<std::string>({"classification", "segmentation", "", "x"});
      return;
    }
    if (key == "other") {
      if (random_.OneIn(2) || parts_.metadata.empty()) {
        parts_.metadata[random_.Of<std::string>({"colors", "x", ""})] = Dump(values_.Anything());
      } else {
        parts_.metadata.erase(parts_.metadata.begin());
      }
      return;
    }
    if (key == "colors" && parts_.metadata.count(key) == 0) {
      parts_.metadata[key] = "[]";  // Repair makes as many as there are classes
      return;
    }
    std::string& text = parts_.metadata[key];
    json content = json::parse(text, nullptr, false);
    std::vector<json*> leaves;
    if (!content.is_discarded()) Leaves(content, leaves);
    if (leaves.empty() || random_.OneIn(6)) {
      for (uint64_t n = 1 + random_.Below(3); n > 0 && !text.empty(); --n) {
        text[random_.Below(text.size())] =
            random_.Of<char>({'{', '}', '[', ']', '"', ',', ':', '\\', '0', '9', '-', 'e'});
      }
      return;
    }
    json& leaf = *random_.Of(leaves);
    leaf = leaf.is_number() && !random_.OneIn(4) ? values_.Number(leaf) : values_.Anything();
    text = Dump(content);
  }

  Parts& parts_;
  Random random_;
  RandomJson values_{random_};
  json program_;
  bool is_program_ = false;
};

}  // namespace

void Mutate(Parts& parts, uint64_t seed) { Mutator(parts, seed).Run(); }

void ForgetMutation() { Arena::Instance().Clear(); }

}  // namespace bitvit

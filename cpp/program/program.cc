#include "program/program.h"

#include "base/text.h"
#include "program/fields.h"
#include "program/limits.h"

namespace bitvit {
namespace {

std::string Place(size_t index, const std::string& kind) {
  return "operator " + std::to_string(index) + " (" + Quoted(kind) + "): ";
}

Result<std::vector<std::string>> ReadNames(const Json& json, const std::string& what) {
  BITVIT_TRY(RequireList(json, what));
  std::vector<std::string> names;
  Json name = json.first();
  for (size_t i = 0; i < json.size(); ++i, name = name.next()) {
    BITVIT_ASSIGN(std::string text, ReadString(name, "an entry of " + what));
    names.push_back(std::move(text));
  }
  return names;
}

Status ReadValue(std::string_view name, const Json& json, ProgramMaker& maker) {
  const std::string where = "value " + Quoted(name);
  BITVIT_ASSIGN(const Fields fields, Fields::Read(json, where, {"type", "shape"}));
  BITVIT_ASSIGN(const std::string type, ReadString(fields["type"], "the type of " + where));
  const Json sizes = fields["shape"];
  BITVIT_TRY(RequireList(sizes, "the shape of " + where));
  std::vector<long long> shape;
  Json size = sizes.first();
  for (size_t i = 0; i < sizes.size(); ++i, size = size.next()) {
    const std::optional<int64_t> whole = size.whole();
    if (!whole.has_value()) return {ErrorCode::kMetadata, "the shape of " + where + " must be made of integers"};
    shape.push_back(*whole);
  }
  return maker.AddValue(std::string(name), type, shape);
}

// Null and objects are not attributes.
Result<Attribute> ReadAttribute(const Json& json, const std::string& what) {
  switch (json.type()) {
    case JsonType::kBoolean:
      return Attribute{json.boolean()};
    case JsonType::kInteger:
      return Attribute{static_cast<long long>(json.integer())};
    case JsonType::kNumber:
      return Attribute{json.number()};
    case JsonType::kString:
      return Attribute{std::string(json.string())};
    case JsonType::kArray: {
      AttributeList list;
      Json item = json.first();
      for (size_t i = 0; i < json.size(); ++i, item = item.next()) {
        BITVIT_ASSIGN(Attribute attribute, ReadAttribute(item, what));
        list.push_back(std::move(attribute));
      }
      return Attribute{std::move(list)};
    }
    case JsonType::kNull:
    case JsonType::kObject:
      break;
  }
  return Error{ErrorCode::kOperatorAttribute, what + " must be a number, a string, true, false or a list of these"};
}

Status ReadOperator(size_t index, const Json& json, ProgramMaker& maker) {
  const std::string where = "operator " + std::to_string(index);
  BITVIT_ASSIGN(const Fields fields, Fields::Read(json, where, {"op", "in", "out"}, {"attrs", "tensors"}));
  BITVIT_ASSIGN(std::string kind, ReadString(fields["op"], "the kind of " + where));
  BITVIT_ASSIGN(const std::vector<std::string> inputs, ReadNames(fields["in"], "'in' of " + where));
  BITVIT_ASSIGN(const std::vector<std::string> outputs, ReadNames(fields["out"], "'out' of " + where));
  std::map<std::string, Attribute> attributes;
  if (fields.Has("attrs")) {
    const Json object = fields["attrs"];
    if (!object.is_object()) return {ErrorCode::kMetadata, "'attrs' of " + where + " must be a JSON object"};
    Json key = object.first();
    for (size_t i = 0; i < object.size(); ++i, key = key.next().next()) {
      BITVIT_ASSIGN(Attribute attribute, ReadAttribute(key.next(), where + ": attribute " + Quoted(key.string())));
      attributes.emplace(key.string(), std::move(attribute));
    }
  }
  std::map<std::string, std::string> tensors;
  if (fields.Has("tensors")) {
    const Json object = fields["tensors"];
    if (!object.is_object()) return {ErrorCode::kMetadata, "'tensors' of " + where + " must be a JSON object"};
    Json key = object.first();
    for (size_t i = 0; i < object.size(); ++i, key = key.next().next()) {
      BITVIT_ASSIGN(std::string name, ReadString(key.next(), "a tensor of " + where));
      tensors.emplace(key.string(), std::move(name));
    }
  }
  return maker.AddOperator(std::move(kind), inputs, outputs, std::move(attributes), std::move(tensors));
}

}  // namespace

Status ProgramMaker::AddValue(std::string name, std::string_view type, const std::vector<long long>& shape) {
  const std::string where = "value " + Quoted(name) + ": ";
  Result<Value> value = CheckedValue(std::string(type), shape);
  if (!value.ok()) return {value.error().code, where + value.error().message};
  n_elements_ += value->n_elements();
  if (n_elements_ > kMaxTotalElements) {
    return {ErrorCode::kSizeLimit,
            where + "all values together have more than " + std::to_string(kMaxTotalElements) + " elements"};
  }
  if (!numbers_.emplace(name, program_.values.size()).second) {
    return {ErrorCode::kValueDefinition, where + "declared twice"};
  }
  program_.value_names.push_back(std::move(name));
  program_.values.push_back(std::move(value).value());
  return {};
}

Result<size_t> ProgramMaker::Find(const std::string& name, const std::string& where) const {
  const auto found = numbers_.find(name);
  if (found == numbers_.end()) {
    return Error{ErrorCode::kValueDefinition, where + "value " + Quoted(name) + " is not declared"};
  }
  return found->second;
}

Status ProgramMaker::AddOperator(std::string kind, const std::vector<std::string>& inputs,
                                 const std::vector<std::string>& outputs, std::map<std::string, Attribute> attributes,
                                 std::map<std::string, std::string> tensors) {
  const size_t index = program_.operators.size();
  n_operands_ += inputs.size() + outputs.size();
  if (index >= kMaxProgramOperators || n_operands_ > kMaxProgramOperands) {
    return {ErrorCode::kSizeLimit, "more than " + std::to_string(kMaxProgramOperators) + " operators or " +
                                       std::to_string(kMaxProgramOperands) + " inputs and outputs"};
  }
  const std::string where = Place(index, kind);
  ProgramOperator op = {std::move(kind), {}, {}, std::move(attributes), std::move(tensors)};
  for (const std::string& name : inputs) {
    BITVIT_ASSIGN(const size_t number, Find(name, where));
    op.inputs.push_back(number);
  }
  for (const std::string& name : outputs) {
    BITVIT_ASSIGN(const size_t number, Find(name, where));
    op.outputs.push_back(number);
  }
  program_.operators.push_back(std::move(op));
  return {};
}

Result<Program> ProgramMaker::Finish(const std::string& input, const std::string& output) {
  BITVIT_ASSIGN(program_.input, Find(input, "the input: "));
  BITVIT_ASSIGN(program_.output, Find(output, "the output: "));
  return std::move(program_);
}

Result<Program> ReadProgram(std::string_view text) {
  BITVIT_ASSIGN(const JsonDocument document, ParseJson(text, "'program'", kMaxProgramValues));
  BITVIT_ASSIGN(const Fields fields, Fields::Read(document.root(), "program", {"values", "ops", "input", "output"}));
  ProgramMaker maker;
  const Json values = fields["values"];
  if (!values.is_object()) return Error{ErrorCode::kMetadata, "program.values must be a JSON object"};
  Json key = values.first();
  for (size_t i = 0; i < values.size(); ++i, key = key.next().next()) {
    BITVIT_TRY(ReadValue(key.string(), key.next(), maker));
  }
  const Json operators = fields["ops"];
  BITVIT_TRY(RequireList(operators, "program.ops"));
  Json op = operators.first();
  for (size_t i = 0; i < operators.size(); ++i, op = op.next()) BITVIT_TRY(ReadOperator(i, op, maker));
  BITVIT_ASSIGN(const std::string input, ReadString(fields["input"], "program.input"));
  BITVIT_ASSIGN(const std::string output, ReadString(fields["output"], "program.output"));
  return maker.Finish(input, output);
}

}  // namespace bitvit

// The table of operators for Python, and the check and the cost of one operator.
#include "bindings/operators.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "bindings/convert.h"
#include "bindings/errors.h"
#include "ops/registry.h"
#include "program/validation.h"

namespace nb = nanobind;

namespace bitvit {
namespace {

using Declared = std::vector<std::pair<std::string, nb::object>>;

nb::str Text(std::string_view text) { return nb::str(text.data(), text.size()); }

nb::list OperandList(const std::vector<Operand>& operands) {
  nb::list list;
  for (const Operand& operand : operands) {
    nb::dict item;
    item["name"] = Text(operand.name);
    item["type"] = Text(operand.type);
    item["presence"] = operand.presence == Presence::kRequired   ? "required"
                       : operand.presence == Presence::kOptional ? "optional"
                                                                 : "repeated";
    item["row_axis"] = operand.row_axis < 0 ? nb::object(nb::none()) : nb::object(nb::int_(operand.row_axis));
    list.append(item);
  }
  return list;
}

nb::list AttributeItems(const OperatorDeclaration& op) {
  nb::list list;
  for (const AttributeDeclaration& attribute : op.attributes) {
    nb::dict item;
    item["name"] = Text(attribute.name);
    item["kind"] = AttributeKindName(attribute.kind);
    item["low"] = Text(attribute.low);
    item["high"] = Text(attribute.high);
    nb::list choices;
    for (const std::string_view choice : attribute.choices) choices.append(Text(choice));
    item["choices"] = choices;
    list.append(item);
  }
  return list;
}

nb::list LimitList(const OperatorDeclaration& op) {
  nb::list list;
  for (const Limit& limit : op.limits) {
    const char* const relation = limit.kind == Limit::Kind::kAtMost    ? "<="
                                 : limit.kind == Limit::Kind::kDivides ? "divides"
                                                                       : "=";
    list.append(nb::make_tuple(Text(limit.a), relation, Text(limit.b)));
  }
  return list;
}

nb::dict Traits(const OperatorDeclaration& op) {
  nb::dict traits;
  traits["row_wise"] = op.is_row_wise;
  traits["row_wise_unless"] = nb::make_tuple(Text(op.not_row_wise[0]), Text(op.not_row_wise[1]));
  traits["tiled"] = op.is_tiled;
  traits["in_place"] = op.is_in_place;
  traits["repeats_channels"] = op.repeats_channels;
  traits["dense_plane"] = op.gives_dense_plane;
  traits["foldable"] = op.is_foldable;
  traits["channel_affine"] = op.is_channel_affine;
  traits["affine_parameters"] = nb::make_tuple(Text(op.affine_parameters[0]), Text(op.affine_parameters[1]));
  return traits;
}

nb::list OperatorTable() {
  nb::list list;
  for (const OperatorDeclaration& op : Operators()) {
    nb::dict item;
    item["name"] = Text(op.name);
    item["inputs"] = OperandList(op.inputs);
    item["outputs"] = OperandList(op.outputs);
    item["attributes"] = AttributeItems(op);
    item["parameters"] = OperandList(op.parameters);
    item["limits"] = LimitList(op);
    item["traits"] = Traits(op);
    item["costs"] = nb::make_tuple(Text(op.binary_multiply_adds), Text(op.multiply_adds), Text(op.float_operations));
    list.append(item);
  }
  return list;
}

std::vector<Value> ToValues(const Declared& declared) {
  std::vector<Value> values;
  for (const auto& [type, shape] : declared) values.push_back(Take(CheckedValue(type, ToShape(shape))));
  return values;
}

OperatorSpec ToSpec(const std::string& kind, const Declared& inputs, const Declared& outputs, const nb::dict& attrs,
                    const nb::dict& tensors, size_t index) {
  OperatorSpec spec;
  spec.index = index;
  spec.kind = kind;
  spec.inputs = ToValues(inputs);
  spec.outputs = ToValues(outputs);
  spec.attributes = ToAttributes(attrs);
  spec.tensors = ToTensors(tensors);
  spec.is_dense_plane.assign(inputs.size(), false);
  return spec;
}

void CheckOne(const std::string& kind, const Declared& inputs, const Declared& outputs, const nb::dict& attrs,
              const nb::dict& tensors, size_t index) {
  Check(CheckOperator(ToSpec(kind, inputs, outputs, attrs, tensors, index)));
}

std::tuple<uint64_t, uint64_t, uint64_t> Cost(const std::string& kind, const Declared& inputs, const Declared& outputs,
                                              const nb::dict& attrs, const nb::dict& tensors, size_t index) {
  const OperatorCost cost = Take(CostOfOperator(ToSpec(kind, inputs, outputs, attrs, tensors, index)));
  return {cost.binary_multiply_adds, cost.multiply_adds, cost.float_operations};
}

std::pair<uint64_t, uint64_t> Memory(const std::string& kind, const Declared& inputs, const Declared& outputs,
                                     const nb::dict& attrs, const nb::dict& tensors) {
  const OperatorMemory memory = Take(MemoryOfOperator(ToSpec(kind, inputs, outputs, attrs, tensors, 0)));
  return {memory.parameter_bytes, memory.scratch_bytes};
}

}  // namespace

void BindOperators(nb::module_& m) {
  m.def("operators", &OperatorTable, "The declarations of all operators, sorted by name (cpp/ops/declaration.h).");
  m.def("check_operator", &CheckOne, nb::arg("kind"), nb::arg("inputs"), nb::arg("outputs"), nb::arg("attrs"),
        nb::arg("tensors"), nb::arg("index") = 0, "Raise the error of the first rule that the operator violates.");
  m.def("operator_cost", &Cost, nb::arg("kind"), nb::arg("inputs"), nb::arg("outputs"), nb::arg("attrs"),
        nb::arg("tensors"), nb::arg("index") = 0,
        "Binary multiply-adds, 8-bit multiply-adds and float operations of one run on one image.");
  m.def("operator_memory", &Memory, nb::arg("kind"), nb::arg("inputs"), nb::arg("outputs"), nb::arg("attrs"),
        nb::arg("tensors"), "Bytes that the limits count for the operator's parameters and for its scratch.");
}

}  // namespace bitvit

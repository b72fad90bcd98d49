#include "engine/program_builder.h"

#include "base/text.h"
#include "ops/layouts.h"
#include "ops/registry.h"
#include "program/validation.h"

namespace bitvit {
namespace {

constexpr long long kMaxThreads = 256;

std::string Place(size_t index, const std::string& kind) {
  return "operator " + std::to_string(index) + " (" + kind + "): ";
}

}  // namespace

Result<size_t> ProgramBuilder::AddValue(const std::string& type, const std::vector<long long>& shape) {
  BITVIT_ASSIGN(Value value, CheckedValue(type, shape));
  return AddValue(std::move(value));
}

Result<size_t> ProgramBuilder::AddValue(Value value) {
  if (n_total_elements_ + value.n_elements() > kMaxTotalElements) {
    return Error{ErrorCode::kSizeLimit,
                 "the values have more than " + std::to_string(kMaxTotalElements) + " elements in total"};
  }
  n_total_elements_ += value.n_elements();
  values_.push_back(std::move(value));
  return values_.size() - 1;
}

Result<std::vector<size_t>> ProgramBuilder::CheckedIds(const std::vector<long long>& ids,
                                                       const std::string& where) const {
  for (const long long id : ids) {
    if (id < 0 || static_cast<unsigned long long>(id) >= values_.size()) {
      return Error{ErrorCode::kValueDefinition, where + "there is no value " + std::to_string(id)};
    }
  }
  return std::vector<size_t>(ids.begin(), ids.end());
}

Status ProgramBuilder::AddOperator(const std::string& kind, const std::vector<long long>& inputs,
                                   const std::vector<long long>& outputs, std::map<std::string, Attribute> attributes,
                                   std::map<std::string, Tensor> tensors) {
  if (nodes_.size() >= kMaxOperators) {
    return {ErrorCode::kSizeLimit, "more than " + std::to_string(kMaxOperators) + " operators"};
  }
  if (FindOperator(kind) == nullptr) {
    return {ErrorCode::kUnknownOperator, "operator " + std::to_string(nodes_.size()) + ": unknown kind " +
                                             Quoted(kind) + "; a newer bitvit may know it"};
  }
  const std::string where = Place(nodes_.size(), kind);
  Node node = {kind, {}, {}, std::move(attributes), std::move(tensors)};
  BITVIT_ASSIGN(node.inputs, CheckedIds(inputs, where));
  BITVIT_ASSIGN(node.outputs, CheckedIds(outputs, where));
  nodes_.push_back(std::move(node));
  return {};
}

Status ProgramBuilder::CheckOrder(const std::vector<size_t>& inputs, const std::vector<size_t>& outputs) const {
  std::vector<bool> is_written(values_.size(), false);
  for (const size_t id : inputs) {
    if (is_written[id]) return {ErrorCode::kValueDefinition, "value " + std::to_string(id) + " is an input twice"};
    is_written[id] = true;
  }
  for (size_t s = 0; s < nodes_.size(); ++s) {
    const auto wrong = [&](size_t id, const char* what) {
      return Error{ErrorCode::kValueDefinition, Place(s, nodes_[s].kind) + "value " + std::to_string(id) + what};
    };
    for (const size_t id : nodes_[s].inputs) {
      if (!is_written[id]) return wrong(id, " is read before it is written");
    }
    for (const size_t id : nodes_[s].outputs) {
      if (is_written[id]) return wrong(id, " is written a second time");
      is_written[id] = true;
    }
  }
  for (const size_t id : outputs) {
    if (!is_written[id]) {
      return {ErrorCode::kValueDefinition, "value " + std::to_string(id) + " is an output, but no operator writes it"};
    }
  }
  return {};
}

Result<std::unique_ptr<Engine>> ProgramBuilder::Build(const std::vector<long long>& inputs,
                                                      const std::vector<long long>& outputs, long long n_threads,
                                                      const std::string& isa) const {
  BITVIT_ASSIGN(const Isa selected, SelectIsa(isa));
  if (n_threads < 1 || n_threads > kMaxThreads) {
    return Error{ErrorCode::kSizeLimit,
                 std::to_string(n_threads) + " threads, expected 1 to " + std::to_string(kMaxThreads)};
  }
  if (outputs.empty()) return Error{ErrorCode::kValueDefinition, "there are no outputs"};
  BITVIT_ASSIGN(std::vector<size_t> input_ids, CheckedIds(inputs, "inputs: "));
  BITVIT_ASSIGN(std::vector<size_t> output_ids, CheckedIds(outputs, "outputs: "));
  BITVIT_TRY(CheckOrder(input_ids, output_ids));

  std::vector<bool> is_dense_plane(values_.size(), false);
  std::vector<Step> steps;
  Layouts layouts;
  for (size_t s = 0; s < nodes_.size(); ++s) {
    const Node& node = nodes_[s];
    OperatorSpec spec;
    spec.index = s;
    spec.kind = node.kind;
    for (const size_t id : node.inputs) {
      spec.inputs.push_back(values_[id]);
      spec.is_dense_plane.push_back(is_dense_plane[id]);
    }
    for (const size_t id : node.outputs) {
      spec.outputs.push_back(values_[id]);
      is_dense_plane[id] = FindOperator(node.kind)->gives_dense_plane;
    }
    spec.attributes = node.attributes;
    spec.tensors = node.tensors;
    spec.kernels = &KernelsFor(selected);
    spec.layouts = &layouts;
    BITVIT_ASSIGN(std::unique_ptr<Operator> op, MakeOperator(spec));
    steps.push_back({FindOperator(node.kind), std::move(op), node.inputs, node.outputs, s});
  }
  return std::make_unique<Engine>(values_, std::move(steps), std::move(input_ids), std::move(output_ids),
                                  static_cast<size_t>(n_threads), selected);
}

Result<std::unique_ptr<Engine>> BuildEngine(const Program& program, const TensorMap& tensors,
                                            const std::vector<size_t>& outputs, long long n_threads,
                                            const std::string& isa) {
  ProgramBuilder builder;
  for (const Value& value : program.values) BITVIT_TRY(builder.AddValue(value));
  const auto ids = [](const std::vector<size_t>& numbers) {
    return std::vector<long long>(numbers.begin(), numbers.end());
  };
  for (size_t index = 0; index < program.operators.size(); ++index) {
    const ProgramOperator& op = program.operators[index];
    BITVIT_ASSIGN(OperatorSpec spec, SpecOf(program, tensors, index));
    BITVIT_TRY(builder.AddOperator(op.kind, ids(op.inputs), ids(op.outputs), std::move(spec.attributes),
                                   std::move(spec.tensors)));
  }
  return builder.Build(ids({program.input}), ids(outputs), n_threads, isa);
}

}  // namespace bitvit

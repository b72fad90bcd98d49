#include "engine/program_builder.h"

#include <set>

#include "base/error.h"
#include "ops/registry.h"

namespace bitvit {
namespace {

constexpr long long kMaxThreads = 256;

std::string Place(size_t index, const std::string& kind) {
  return "operator " + std::to_string(index) + " (" + kind.substr(0, 80) + "): ";
}

}  // namespace

size_t ProgramBuilder::AddValue(const std::string& type, const std::vector<long long>& shape) {
  Value value = CheckedValue(type, shape);
  if (n_total_elements_ + value.n_elements() > kMaxTotalElements) {
    throw SizeLimitError("the values have more than " + std::to_string(kMaxTotalElements) + " elements in total");
  }
  n_total_elements_ += value.n_elements();
  values_.push_back(std::move(value));
  return values_.size() - 1;
}

size_t ProgramBuilder::CheckedId(long long id, const std::string& where) const {
  if (id < 0 || static_cast<unsigned long long>(id) >= values_.size()) {
    throw ValueDefinitionError(where + "there is no value " + std::to_string(id));
  }
  return static_cast<size_t>(id);
}

void ProgramBuilder::AddOperator(const std::string& kind, const std::vector<long long>& inputs,
                                 const std::vector<long long>& outputs, std::map<std::string, Attribute> attributes,
                                 std::map<std::string, Tensor> tensors) {
  const std::string where = Place(nodes_.size(), kind);
  if (nodes_.size() >= kMaxOperators) {
    throw SizeLimitError("more than " + std::to_string(kMaxOperators) + " operators");
  }
  if (FindOperator(kind) == nullptr) {
    throw UnknownOperatorError("operator " + std::to_string(nodes_.size()) + ": unknown kind '" + kind.substr(0, 80) +
                               "'; a newer bitvit may know it");
  }
  Node node = {kind, {}, {}, std::move(attributes), std::move(tensors)};
  for (const long long id : inputs) node.inputs.push_back(CheckedId(id, where));
  for (const long long id : outputs) node.outputs.push_back(CheckedId(id, where));
  nodes_.push_back(std::move(node));
}

void ProgramBuilder::CheckOrder(const std::vector<size_t>& inputs, const std::vector<size_t>& outputs) const {
  std::set<size_t> written;
  for (const size_t id : inputs) {
    if (!written.insert(id).second) throw ValueDefinitionError("value " + std::to_string(id) + " is an input twice");
  }
  for (size_t s = 0; s < nodes_.size(); ++s) {
    for (const size_t id : nodes_[s].inputs) {
      if (written.count(id) == 0) {
        throw ValueDefinitionError(Place(s, nodes_[s].kind) + "value " + std::to_string(id) +
                                   " is read before it is written");
      }
    }
    for (const size_t id : nodes_[s].outputs) {
      if (!written.insert(id).second) {
        throw ValueDefinitionError(Place(s, nodes_[s].kind) + "value " + std::to_string(id) +
                                   " is written a second time");
      }
    }
  }
  for (const size_t id : outputs) {
    if (written.count(id) == 0) {
      throw ValueDefinitionError("value " + std::to_string(id) + " is an output, but no operator writes it");
    }
  }
}

std::unique_ptr<Engine> ProgramBuilder::Build(const std::vector<long long>& inputs,
                                              const std::vector<long long>& outputs, long long n_threads,
                                              const std::string& isa) const {
  const Isa selected = SelectIsa(isa);
  if (n_threads < 1 || n_threads > kMaxThreads) {
    throw SizeLimitError(std::to_string(n_threads) + " threads, expected 1 to " + std::to_string(kMaxThreads));
  }
  if (outputs.empty()) throw ValueDefinitionError("there are no outputs");
  std::vector<size_t> input_ids, output_ids;
  for (const long long id : inputs) input_ids.push_back(CheckedId(id, "inputs: "));
  for (const long long id : outputs) output_ids.push_back(CheckedId(id, "outputs: "));
  CheckOrder(input_ids, output_ids);

  std::vector<bool> is_dense_plane(values_.size(), false);
  std::vector<Step> steps;
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
    spec.portable_kernels = &KernelsFor(Isa::kPortable);
    Result<std::unique_ptr<Operator>> made = MakeOperator(spec);
    if (!made.ok()) Throw(made.error());
    steps.push_back({FindOperator(node.kind), std::move(made).value(), node.inputs, node.outputs});
  }
  return std::make_unique<Engine>(values_, std::move(steps), std::move(input_ids), std::move(output_ids),
                                  static_cast<size_t>(n_threads), selected);
}

}  // namespace bitvit

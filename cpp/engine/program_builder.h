// Takes values and operators piece by piece, checks them and makes an Engine.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "ops/spec.h"
#include "program/program.h"

namespace bitvit {

class ProgramBuilder {
 public:
  // Declares a value; returns its number.
  Result<size_t> AddValue(const std::string& type, const std::vector<long long>& shape);
  Result<size_t> AddValue(Value value);  // within the limits of one value

  // Adds an operator after those before it. `tensors` must stay alive until Build is done.
  Status AddOperator(const std::string& kind, const std::vector<long long>& inputs,
                     const std::vector<long long>& outputs, std::map<std::string, Attribute> attributes,
                     std::map<std::string, Tensor> tensors);

  // May be called again for other outputs, threads or instruction sets. isa "": the fastest available.
  Result<std::unique_ptr<Engine>> Build(const std::vector<long long>& inputs, const std::vector<long long>& outputs,
                                        long long n_threads, const std::string& isa) const;

 private:
  struct Node {
    std::string kind;
    std::vector<size_t> inputs, outputs;
    std::map<std::string, Attribute> attributes;
    std::map<std::string, Tensor> tensors;
  };

  Result<std::vector<size_t>> CheckedIds(const std::vector<long long>& ids, const std::string& where) const;
  Status CheckOrder(const std::vector<size_t>& inputs, const std::vector<size_t>& outputs) const;

  std::vector<Value> values_;
  std::vector<Node> nodes_;
  size_t n_total_elements_ = 0;
};

// An Engine for a Program that has been checked (program/validation.h), with these values as outputs.
Result<std::unique_ptr<Engine>> BuildEngine(const Program& program, const TensorMap& tensors,
                                            const std::vector<size_t>& outputs, long long n_threads,
                                            const std::string& isa);

}  // namespace bitvit

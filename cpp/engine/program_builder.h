// Takes a Program piece by piece, checks it and makes an Engine. Everything wrong is reported as a subclass of
// EngineError.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "ops/spec.h"

namespace bitvit {

class ProgramBuilder {
 public:
  // Declares a value; returns its number.
  size_t AddValue(const std::string& type, const std::vector<long long>& shape);

  // Adds an operator behind those before it. `tensors` must stay alive until Build is done.
  void AddOperator(const std::string& kind, const std::vector<long long>& inputs, const std::vector<long long>& outputs,
                   std::map<std::string, Attribute> attributes, std::map<std::string, Tensor> tensors);

  // May be called again for other outputs, threads or instruction sets. isa "": the fastest available.
  std::unique_ptr<Engine> Build(const std::vector<long long>& inputs, const std::vector<long long>& outputs,
                                long long n_threads, const std::string& isa) const;

 private:
  struct Node {
    std::string kind;
    std::vector<size_t> inputs, outputs;
    std::map<std::string, Attribute> attributes;
    std::map<std::string, Tensor> tensors;
  };

  size_t CheckedId(long long id, const std::string& where) const;
  void CheckOrder(const std::vector<size_t>& inputs, const std::vector<size_t>& outputs) const;

  std::vector<Value> values_;
  std::vector<Node> nodes_;
  size_t n_total_elements_ = 0;
};

}  // namespace bitvit

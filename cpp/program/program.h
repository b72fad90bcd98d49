// A Program as data: operators over typed values, in execution order (docs/format.md, Program JSON).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ops/spec.h"
#include "program/container.h"
#include "program/json.h"

namespace bitvit {

struct ProgramOperator {
  std::string kind;
  std::vector<size_t> inputs, outputs;  // numbers of values
  std::map<std::string, Attribute> attributes;
  std::map<std::string, std::string> tensors;  // parameter -> tensor
};

struct Program {
  std::vector<std::string> value_names;
  std::vector<Value> values;
  std::vector<ProgramOperator> operators;
  size_t input = 0, output = 0;  // numbers of values
};

// Makes a Program out of names: counts, looks names up and limits sizes as it goes.
class ProgramMaker {
 public:
  Status AddValue(std::string name, std::string_view type, const std::vector<long long>& shape);
  Status AddOperator(std::string kind, const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
                     std::map<std::string, Attribute> attributes, std::map<std::string, std::string> tensors);
  Result<Program> Finish(const std::string& input, const std::string& output);

 private:
  Result<size_t> Find(const std::string& name, const std::string& where) const;

  Program program_;
  std::map<std::string, size_t> numbers_;
  uint64_t n_elements_ = 0;
  size_t n_operands_ = 0;
};

// The Program of the metadata entry `program`. Its form is checked, its meaning is not (program/validation.h).
Result<Program> ReadProgram(std::string_view text);

}  // namespace bitvit

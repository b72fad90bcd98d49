// One operator as a Program gives it: not checked yet.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "kernels/kernels.h"
#include "ops/value.h"

namespace bitvit {

class Layouts;
struct Attribute;
using AttributeList = std::vector<Attribute>;

struct Attribute {
  std::variant<long long, double, std::string, AttributeList, bool> value;
};

enum class DataType { kF32, kI32, kI16, kI8, kU8 };
const char* DataTypeName(DataType type);  // as in docs/format.md: "f32"
size_t DataTypeSize(DataType type);

// A parameter: an array in C order, kept alive by `owner`.
struct Tensor {
  DataType type;
  Shape shape;
  const void* data;
  std::shared_ptr<const void> owner;

  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
  size_t n_elements() const;
};

struct OperatorSpec {
  size_t index;  // in the Program
  std::string kind;
  std::vector<Value> inputs, outputs;
  std::map<std::string, Attribute> attributes;
  std::map<std::string, Tensor> tensors;
  // Whether plane 0 of input i has no zeros (trait gives_dense_plane of the operator that writes it).
  std::vector<bool> is_dense_plane;
  // Those of the instruction set in use; layouts of operators before it. Only needed to make the operator, not to check
  // it.
  const Kernels* kernels = nullptr;
  Layouts* layouts = nullptr;
};

}  // namespace bitvit

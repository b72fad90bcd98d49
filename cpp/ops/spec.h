// The description of one operator as given by the Program, and the questions by which an operator checks and reads it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/aligned_buffer.h"
#include "kernels/kernels.h"
#include "ops/value.h"

namespace bitvit {

struct Attribute;
using AttributeList = std::vector<Attribute>;

struct Attribute {
  std::variant<long long, double, std::string, AttributeList, bool> value;
};

enum class DataType { kF32, kI32, kI16, kI8, kU8 };
const char* DataTypeName(DataType type);
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
  // Whether input i was written by the operator `value_planes`, so that its first plane has no zeros.
  std::vector<bool> is_from_value_planes;
  const Kernels* kernels;
  const Kernels* portable_kernels;
};

// Asks for everything that an operator needs; whatever was not asked for is refused by Finish() as unknown. All throw
// the error class named after the violated rule (base/error.h), the message starting with the place.
class SpecReader {
 public:
  explicit SpecReader(const OperatorSpec& spec) : spec_(spec) {}

  const OperatorSpec& spec() const { return spec_; }
  const Kernels& kernels() const { return *spec_.kernels; }

  // Values
  size_t InputCount(size_t low, size_t high) const;
  const Shape& Input(size_t i, std::initializer_list<ValueType> types, size_t rank = 0) const;  // rank 0: any
  void Writes(const std::vector<Value>& expected) const;
  // The output is bits of one of the types, [N, C] or [N, H, D] with H D = C. Returns it.
  const Value& WritesBits(size_t n_rows, size_t n_channels, std::initializer_list<ValueType> types) const;
  void Require(bool condition, const std::string& message) const;  // OperandError

  // Attributes
  size_t Integer(const std::string& name, size_t low, size_t high);
  bool Boolean(const std::string& name);
  const std::string& Text(const std::string& name);
  // The attribute `grid` = [h, w] with h * w = n_rows.
  std::array<size_t, 2> Grid(size_t n_rows);
  float PositiveNumber(const std::string& name);
  bool Flag(const std::string& name);
  // One of the texts; returns its place among them.
  size_t Choice(const std::string& name, std::initializer_list<const char*> texts);
  const AttributeList& List(const std::string& name, size_t low, size_t high);
  float ToFloat(const Attribute& attribute, const std::string& what) const;
  [[noreturn]] void FailAttribute(const std::string& message) const;

  // Parameters
  bool Has(const std::string& name);
  DataType TypeOf(const std::string& name);
  const Tensor& Parameter(const std::string& name, DataType type, const std::vector<Shape>& shapes);
  // Length of the one-axis parameter.
  size_t LengthOf(const std::string& name);
  // Copied to aligned memory, `slack` zero elements behind.
  AlignedBuffer Floats(const std::string& name, const std::vector<Shape>& shapes, size_t slack = 16);
  // Sign bits [rows...][length] as rows of words; refuses 1 bits in the padding.
  AlignedBuffer PackedSigns(const std::string& name, const Shape& rows, size_t length);
  void RequireContent(bool condition, const std::string& message) const;  // TensorContentError

  void Finish() const;

 private:
  const Attribute& Find(const std::string& name);
  std::string Where() const;

  const OperatorSpec& spec_;
  std::set<std::string> known_attributes_, known_parameters_;
};

}  // namespace bitvit

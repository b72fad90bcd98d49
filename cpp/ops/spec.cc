#include "ops/spec.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace bitvit {
namespace {

std::string Join(const std::vector<Shape>& shapes) {
  std::string text;
  for (const Shape& shape : shapes) text += (text.empty() ? "" : " or ") + ToString(shape);
  return text;
}

}  // namespace

const char* DataTypeName(DataType type) {
  switch (type) {
    case DataType::kF32:
      return "float32";
    case DataType::kI32:
      return "int32";
    case DataType::kI16:
      return "int16";
    case DataType::kI8:
      return "int8";
    case DataType::kU8:
      return "uint8";
  }
  return "?";
}

size_t DataTypeSize(DataType type) {
  return type == DataType::kF32 || type == DataType::kI32 ? 4 : type == DataType::kI16 ? 2 : 1;
}

size_t Tensor::n_elements() const {
  size_t n = 1;
  for (const size_t size : shape) n *= size;
  return n;
}

std::string SpecReader::Where() const { return "operator " + std::to_string(spec_.index) + " (" + spec_.kind + "): "; }

size_t SpecReader::InputCount(size_t low, size_t high) const {
  const size_t n = spec_.inputs.size();
  if (n < low || n > high) {
    throw OperandError(Where() + std::to_string(n) + " inputs, expected " + std::to_string(low) +
                       (low == high ? "" : " to " + std::to_string(high)));
  }
  return n;
}

const Shape& SpecReader::Input(size_t i, std::initializer_list<ValueType> types, size_t rank) const {
  const Value& value = spec_.inputs.at(i);
  std::string expected;
  bool fits = false;
  for (const ValueType type : types) {
    fits = fits || value.type == type;
    expected += (expected.empty() ? "" : " or ") + std::string(TypeName(type));
  }
  if (!fits) {
    throw OperandError(Where() + "input " + std::to_string(i) + " is " + value.ToString() + ", expected " + expected);
  }
  if (rank != 0 && value.shape.size() != rank) {
    throw OperandError(Where() + "input " + std::to_string(i) + " is " + value.ToString() + ", expected " +
                       std::to_string(rank) + " axes");
  }
  return value.shape;
}

void SpecReader::Writes(const std::vector<Value>& expected) const {
  if (spec_.outputs.size() != expected.size()) {
    throw OperandError(Where() + std::to_string(spec_.outputs.size()) + " outputs, expected " +
                       std::to_string(expected.size()));
  }
  for (size_t i = 0; i < expected.size(); ++i) {
    if (spec_.outputs[i] != expected[i]) {
      throw OperandError(Where() + "output " + std::to_string(i) + " is declared " + spec_.outputs[i].ToString() +
                         ", but the operator gives " + expected[i].ToString());
    }
  }
}

const Value& SpecReader::WritesBits(size_t n_rows, size_t n_channels, std::initializer_list<ValueType> types) const {
  if (spec_.outputs.size() != 1) {
    throw OperandError(Where() + std::to_string(spec_.outputs.size()) + " outputs, expected 1");
  }
  const Value& out = spec_.outputs[0];
  bool fits = false;
  for (const ValueType type : types) fits = fits || out.type == type;
  fits = fits && (out.shape.size() == 2 || out.shape.size() == 3) && out.shape[0] == n_rows &&
         out.n_elements() == n_rows * n_channels;
  if (!fits) {
    throw OperandError(Where() + "output 0 is declared " + out.ToString() + ", but the operator gives bits " +
                       ToString({n_rows, n_channels}) + ", which may be split into heads");
  }
  return out;
}

void SpecReader::Require(bool condition, const std::string& message) const {
  if (!condition) throw OperandError(Where() + message);
}

void SpecReader::FailAttribute(const std::string& message) const { throw OperatorAttributeError(Where() + message); }

const Attribute& SpecReader::Find(const std::string& name) {
  known_attributes_.insert(name);
  const auto found = spec_.attributes.find(name);
  if (found == spec_.attributes.end()) FailAttribute("attribute '" + name + "' is missing");
  return found->second;
}

size_t SpecReader::Integer(const std::string& name, size_t low, size_t high) {
  const auto* value = std::get_if<long long>(&Find(name).value);
  if (value == nullptr || *value < static_cast<long long>(low) || *value > static_cast<long long>(high)) {
    FailAttribute("attribute '" + name + "' must be an integer from " + std::to_string(low) + " to " +
                  std::to_string(high));
  }
  return static_cast<size_t>(*value);
}

bool SpecReader::Boolean(const std::string& name) {
  const auto* value = std::get_if<bool>(&Find(name).value);
  if (value == nullptr) FailAttribute("attribute '" + name + "' must be true or false");
  return *value;
}

const std::string& SpecReader::Text(const std::string& name) {
  const auto* value = std::get_if<std::string>(&Find(name).value);
  if (value == nullptr) FailAttribute("attribute '" + name + "' must be a text");
  return *value;
}

std::array<size_t, 2> SpecReader::Grid(size_t n_rows) {
  const AttributeList& list = List("grid", 2, 2);
  const auto* h = std::get_if<long long>(&list[0].value);
  const auto* w = std::get_if<long long>(&list[1].value);
  const long long limit = static_cast<long long>(kMaxDimension);
  if (h == nullptr || w == nullptr || *h < 1 || *w < 1 || *h > limit || *w > limit ||
      static_cast<size_t>(*h) * static_cast<size_t>(*w) != n_rows) {
    FailAttribute("attribute 'grid' must be two numbers whose product is " + std::to_string(n_rows));
  }
  return {static_cast<size_t>(*h), static_cast<size_t>(*w)};
}

float SpecReader::ToFloat(const Attribute& attribute, const std::string& what) const {
  double value = 0;
  if (const auto* integer = std::get_if<long long>(&attribute.value)) {
    value = static_cast<double>(*integer);
  } else if (const auto* number = std::get_if<double>(&attribute.value)) {
    value = *number;
  } else {
    FailAttribute(what + " must be a number");
  }
  if (!(std::fabs(value) <= static_cast<double>(std::numeric_limits<float>::max()))) {
    throw NonFiniteError(Where() + what + " is not finite in binary32");
  }
  return static_cast<float>(value);
}

float SpecReader::PositiveNumber(const std::string& name) {
  const float value = ToFloat(Find(name), "attribute '" + name + "'");
  if (!(value > 0)) FailAttribute("attribute '" + name + "' must be positive");
  return value;
}

bool SpecReader::Flag(const std::string& name) {
  const auto* value = std::get_if<bool>(&Find(name).value);
  if (value == nullptr) FailAttribute("attribute '" + name + "' must be true or false");
  return *value;
}

size_t SpecReader::Choice(const std::string& name, std::initializer_list<const char*> texts) {
  const auto* value = std::get_if<std::string>(&Find(name).value);
  std::string expected;
  size_t i = 0;
  for (const char* text : texts) {
    if (value != nullptr && *value == text) return i;
    expected += (i++ == 0 ? "'" : " or '") + std::string(text) + "'";
  }
  FailAttribute("attribute '" + name + "' must be " + expected);
}

const AttributeList& SpecReader::List(const std::string& name, size_t low, size_t high) {
  const auto* list = std::get_if<AttributeList>(&Find(name).value);
  if (list == nullptr || list->size() < low || list->size() > high) {
    FailAttribute("attribute '" + name + "' must be a list of " + std::to_string(low) + " to " + std::to_string(high) +
                  " entries");
  }
  return *list;
}

bool SpecReader::Has(const std::string& name) {
  known_parameters_.insert(name);
  return spec_.tensors.count(name) != 0;
}

DataType SpecReader::TypeOf(const std::string& name) {
  if (!Has(name)) throw OperatorParameterError(Where() + "parameter '" + name + "' is missing");
  return spec_.tensors.at(name).type;
}

const Tensor& SpecReader::Parameter(const std::string& name, DataType type, const std::vector<Shape>& shapes) {
  if (TypeOf(name) != type) {
    throw TensorTypeError(Where() + "parameter '" + name + "' is " + DataTypeName(TypeOf(name)) + ", expected " +
                          DataTypeName(type));
  }
  const Tensor& tensor = spec_.tensors.at(name);
  for (const Shape& shape : shapes) {
    if (tensor.shape == shape) return tensor;
  }
  throw TensorShapeError(Where() + "parameter '" + name + "' has shape " + ToString(tensor.shape) + ", expected " +
                         Join(shapes));
}

size_t SpecReader::LengthOf(const std::string& name) {
  TypeOf(name);
  const Tensor& tensor = spec_.tensors.at(name);
  if (tensor.shape.size() != 1 || tensor.shape[0] == 0 || tensor.shape[0] > kMaxDimension) {
    throw TensorShapeError(Where() + "parameter '" + name + "' has shape " + ToString(tensor.shape) +
                           ", expected one axis");
  }
  return tensor.shape[0];
}

AlignedBuffer SpecReader::Floats(const std::string& name, const std::vector<Shape>& shapes, size_t slack) {
  const Tensor& tensor = Parameter(name, DataType::kF32, shapes);
  const size_t n = tensor.n_elements();
  bool is_finite = true;
  for (size_t i = 0; i < n; ++i) is_finite = is_finite && std::isfinite(tensor.as<float>()[i]);
  if (!is_finite) throw NonFiniteError(Where() + "parameter '" + name + "' has values that are not finite");
  AlignedBuffer buffer((n + slack) * sizeof(float));
  std::memcpy(buffer.data(), tensor.data, n * sizeof(float));
  return buffer;
}

AlignedBuffer SpecReader::PackedSigns(const std::string& name, const Shape& rows, size_t length) {
  const size_t row_bytes = (length + 7) / 8;
  Shape stored = rows;
  stored.push_back(row_bytes);
  const Tensor& tensor = Parameter(name, DataType::kU8, {stored});
  const size_t n_rows = tensor.n_elements() / row_bytes;
  bool is_padding_zero = true;
  for (size_t r = 0; r < n_rows && length % 8 != 0; ++r) {
    is_padding_zero = is_padding_zero && tensor.as<uint8_t>()[(r + 1) * row_bytes - 1] >> (length % 8) == 0;
  }
  RequireContent(is_padding_zero, "parameter '" + name + "' has 1 bits in the padding of its rows");
  AlignedBuffer words(n_rows * BitWords(length) * 8);
  LoadBits(tensor.as<std::byte>(), n_rows, length, words.data());
  return words;
}

void SpecReader::RequireContent(bool condition, const std::string& message) const {
  if (!condition) throw TensorContentError(Where() + message);
}

void SpecReader::Finish() const {
  for (const auto& [name, attribute] : spec_.attributes) {
    if (known_attributes_.count(name) == 0) FailAttribute("unknown attribute '" + name.substr(0, 80) + "'");
  }
  for (const auto& [name, tensor] : spec_.tensors) {
    if (known_parameters_.count(name) == 0) {
      throw OperatorParameterError(Where() + "unknown parameter '" + name.substr(0, 80) + "'");
    }
  }
}

}  // namespace bitvit

#include "ops/operands.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace bitvit {

const char* DataTypeName(DataType type) {
  switch (type) {
    case DataType::kF32:
      return "f32";
    case DataType::kI32:
      return "i32";
    case DataType::kI16:
      return "i16";
    case DataType::kI8:
      return "i8";
    case DataType::kU8:
      return "u8";
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

uint64_t Operands::Count(std::string_view expression) const {
  return static_cast<uint64_t>(Evaluate(expression, sizes_.symbols).value_or(0));
}

uint64_t Operands::Cost(std::string_view expression) const {
  return static_cast<uint64_t>(Evaluate(expression, sizes_.symbols).value_or(std::numeric_limits<int64_t>::max()));
}

float Operands::Number(const char* attribute) const {
  const auto& value = spec_.attributes.at(attribute).value;
  const auto* integer = std::get_if<long long>(&value);
  return integer != nullptr ? static_cast<float>(*integer) : static_cast<float>(std::get<double>(value));
}

AlignedBuffer Operands::Floats(const char* parameter, size_t slack) const {
  const Tensor& tensor = Parameter(parameter);
  const size_t n = tensor.n_elements();
  const auto copy = [&] {
    AlignedBuffer buffer((n + slack) * sizeof(float));
    std::memcpy(buffer.data(), tensor.data, n * sizeof(float));
    return buffer;
  };
  if (spec_.layouts == nullptr) return copy();
  return spec_.layouts->Get(std::to_string(reinterpret_cast<uintptr_t>(tensor.data)) + "+" + std::to_string(slack),
                            copy);
}

AlignedBuffer Operands::Zeros(size_t n_bytes) const {
  size_t rounded = 4096;  // powers of 2: however many operators ask, all together take twice the largest
  while (rounded < n_bytes) rounded *= 2;
  if (spec_.layouts == nullptr) return AlignedBuffer(rounded);
  return spec_.layouts->Get("zeros+" + std::to_string(rounded), [&] { return AlignedBuffer(rounded); });
}

int32_t SignRows::CountOnes(size_t first, size_t end) const {
  // Without the instruction, which not every machine has, the compiler would call a function for each word.
  uint64_t count = 0;
  for (const uint64_t* word = row(first); word != row(end); ++word) {
    uint64_t x = *word - ((*word >> 1) & 0x5555555555555555u);
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    count += (x * 0x0101010101010101u) >> 56;
  }
  return static_cast<int32_t>(count);
}

SignRows Operands::Signs(const char* parameter, size_t length) const {
  const Tensor& tensor = Parameter(parameter);
  const size_t n_words = BitWords(length);
  const bool is_words = length % 64 == 0 && reinterpret_cast<uintptr_t>(tensor.data) % alignof(uint64_t) == 0;
  if (is_words) return {tensor.as<uint64_t>(), n_words, {}};
  const size_t n_rows = tensor.n_elements() / ((length + 7) / 8);
  const size_t n_bytes = n_rows * n_words * 8;
  AlignedBuffer words = spec_.layouts == nullptr ? AlignedBuffer(n_bytes) : spec_.layouts->Scratch(n_bytes);
  LoadBits(tensor.as<std::byte>(), n_rows, length, words.data());
  return {words.as<uint64_t>(), n_words, words};
}

Error Operands::Fail(ErrorCode code, const std::string& message) const {
  return {code, "operator " + std::to_string(spec_.index) + " (" + spec_.kind.substr(0, 80) + "): " + message};
}

Result<float> Operands::ToFloat(const Attribute& attribute, const std::string& what) const {
  double value = 0;
  if (const auto* integer = std::get_if<long long>(&attribute.value)) {
    value = static_cast<double>(*integer);
  } else if (const auto* number = std::get_if<double>(&attribute.value)) {
    value = *number;
  } else {
    return Fail(ErrorCode::kOperatorAttribute, what + " must be a number");
  }
  if (!(std::fabs(value) <= static_cast<double>(std::numeric_limits<float>::max()))) {  // also for NaN
    return Fail(ErrorCode::kNonFinite, what + " is not finite in binary32");
  }
  return static_cast<float>(value);
}

}  // namespace bitvit

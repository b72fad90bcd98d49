#include "ops/value.h"

#include <cstdint>
#include <cstring>

#include "base/text.h"

namespace bitvit {
namespace {

constexpr ValueType kTypes[] = {ValueType::kU8,   ValueType::kF32,  ValueType::kI32,
                                ValueType::kSign, ValueType::kMask, ValueType::kTernary};

}  // namespace

const char* TypeName(ValueType type) {
  switch (type) {
    case ValueType::kU8:
      return "u8";
    case ValueType::kF32:
      return "f32";
    case ValueType::kI32:
      return "i32";
    case ValueType::kSign:
      return "sign";
    case ValueType::kMask:
      return "mask";
    case ValueType::kTernary:
      return "ternary";
  }
  return "?";
}

Result<ValueType> ParseType(std::string_view name) {
  for (const ValueType type : kTypes) {
    if (name == TypeName(type)) return type;
  }
  return Error{ErrorCode::kUnknownType, "unknown value type " + Quoted(name)};
}

std::string ToString(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

size_t Value::n_elements() const {
  size_t n = 1;
  for (const size_t size : shape) n *= size;
  return n;
}

size_t Value::size_bytes() const {
  if (type == ValueType::kU8) return n_elements();
  if (!is_bits()) return n_elements() * 4;
  return n_bit_arrays() * n_rows() * BitWords(width()) * 8;
}

size_t Value::stored_size_bytes() const {
  if (!is_bits()) return size_bytes();
  return n_bit_arrays() * n_rows() * ((width() + 7) / 8);
}

Shape Value::stored_shape() const {
  Shape stored = shape;
  if (is_bits()) stored.back() = (width() + 7) / 8;
  if (type == ValueType::kTernary) stored.insert(stored.begin(), 2);
  return stored;
}

std::string Value::ToString() const { return std::string(TypeName(type)) + " " + bitvit::ToString(shape); }

void Value::Load(const std::byte* stored, std::byte* value) const {
  if (is_bits()) {
    LoadBits(stored, n_bit_arrays() * n_rows(), width(), value);
  } else {
    std::memcpy(value, stored, size_bytes());
  }
}

void Value::Store(const std::byte* value, std::byte* stored) const {
  if (is_bits()) {
    StoreBits(value, n_bit_arrays() * n_rows(), width(), stored);
  } else {
    std::memcpy(stored, value, size_bytes());
  }
}

Result<Value> CheckedValue(std::string_view type, const std::vector<long long>& shape) {
  BITVIT_ASSIGN(const ValueType parsed, ParseType(type));
  if (shape.empty() || shape.size() > kMaxRank) {
    return Error{ErrorCode::kSizeLimit,
                 std::to_string(shape.size()) + " axes, expected 1 to " + std::to_string(kMaxRank)};
  }
  Shape sizes;
  uint64_t n_elements = 1;
  for (const long long size : shape) {
    if (size < 1 || static_cast<unsigned long long>(size) > kMaxDimension) {
      return Error{ErrorCode::kSizeLimit,
                   "an axis of size " + std::to_string(size) + ", expected 1 to " + std::to_string(kMaxDimension)};
    }
    sizes.push_back(static_cast<size_t>(size));
    n_elements *= static_cast<uint64_t>(size);  // at most 2^28 * 2^24
    if (n_elements > kMaxElements) {
      return Error{ErrorCode::kSizeLimit, "more than " + std::to_string(kMaxElements) + " elements"};
    }
  }
  return Value{parsed, std::move(sizes)};
}

void LoadBits(const std::byte* stored, size_t n_rows, size_t width, std::byte* words) {
  const size_t row_bytes = (width + 7) / 8, word_bytes = BitWords(width) * 8;
  const std::byte last = width % 8 == 0 ? std::byte{0xff} : static_cast<std::byte>((1u << (width % 8)) - 1);
  for (size_t r = 0; r < n_rows; ++r, stored += row_bytes, words += word_bytes) {
    std::memcpy(words, stored, row_bytes);
    words[row_bytes - 1] &= last;
    std::memset(words + row_bytes, 0, word_bytes - row_bytes);
  }
}

void StoreBits(const std::byte* words, size_t n_rows, size_t width, std::byte* stored) {
  const size_t row_bytes = (width + 7) / 8, word_bytes = BitWords(width) * 8;
  for (size_t r = 0; r < n_rows; ++r, stored += row_bytes, words += word_bytes) std::memcpy(stored, words, row_bytes);
}

}  // namespace bitvit

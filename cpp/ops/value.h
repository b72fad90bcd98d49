// Types and shapes of the values of a Program (docs/format.md, Values), and how the engine holds them in memory.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bitvit {

enum class ValueType { kU8, kF32, kI32, kSign, kMask, kTernary };

const char* TypeName(ValueType type);
Result<ValueType> ParseType(std::string_view name);  // error: UnknownType

inline constexpr size_t kMaxRank = 4;
inline constexpr size_t kMaxDimension = size_t{1} << 24;
inline constexpr size_t kMaxElements = size_t{1} << 28;
inline constexpr size_t kMaxTotalElements = size_t{1} << 30;
inline constexpr size_t kMaxOperators = size_t{1} << 16;

using Shape = std::vector<size_t>;

std::string ToString(const Shape& shape);

inline constexpr size_t BitWords(size_t n_bits) { return (n_bits + 63) / 64; }

// Numbers lie as in the file. Bits lie in rows (the last axis) of 64-bit words; ternary as two such arrays,
// "is +1" and "is -1".
struct Value {
  ValueType type;
  Shape shape;

  bool is_bits() const { return type == ValueType::kSign || type == ValueType::kMask || type == ValueType::kTernary; }
  size_t n_elements() const;
  size_t width() const { return shape.back(); }             // length of a row
  size_t n_rows() const { return n_elements() / width(); }  // of one bit array, for ternary
  size_t n_bit_arrays() const { return type == ValueType::kTernary ? 2 : 1; }
  size_t size_bytes() const;         // in the engine
  size_t stored_size_bytes() const;  // outside: bit rows padded to bytes
  Shape stored_shape() const;        // without the batch axis

  bool operator==(const Value& other) const { return type == other.type && shape == other.shape; }
  bool operator!=(const Value& other) const { return !(*this == other); }
  std::string ToString() const;

  // Between the stored form and the engine's. Bits in the padding of the stored form are ignored.
  void Load(const std::byte* stored, std::byte* value) const;
  void Store(const std::byte* value, std::byte* stored) const;
};

// Errors: UnknownType; SizeLimit for sizes beyond the limits above.
Result<Value> CheckedValue(std::string_view type, const std::vector<long long>& shape);

// Rows of ceil(width / 8) bytes -> rows of BitWords(width) words with padding bits 0, and back.
void LoadBits(const std::byte* stored, size_t n_rows, size_t width, std::byte* words);
void StoreBits(const std::byte* words, size_t n_rows, size_t width, std::byte* stored);

}  // namespace bitvit

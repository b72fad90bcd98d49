// Strict JSON (RFC 8259) as a compact tree: no NaN or infinities, no repeated keys, valid UTF-8, limited depth and
// size.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace bitvit {

inline constexpr size_t kMaxJsonDepth = 32;

enum class JsonType : uint8_t { kNull, kBoolean, kInteger, kNumber, kString, kArray, kObject };

class JsonDocument;

// One value of a document, which must outlive it.
class Json {
 public:
  JsonType type() const;
  bool is_string() const { return type() == JsonType::kString; }
  bool is_array() const { return type() == JsonType::kArray; }
  bool is_object() const { return type() == JsonType::kObject; }
  bool boolean() const { return integer() != 0; }
  int64_t integer() const;
  double number() const;  // of an integer, too
  // Of a number without fraction and exponent; beyond 64 bits, the nearest 64-bit number.
  std::optional<int64_t> whole() const;
  std::string_view string() const;
  size_t size() const;  // of an array or object

  // The children in order: elements of an array; of an object key, value, key, value, ...
  Json first() const;
  Json next() const;  // after this value and all that is in it

 private:
  friend class JsonDocument;
  friend class JsonBuilder;
  Json(const JsonDocument* document, uint32_t index) : document_(document), index_(index) {}

  const JsonDocument* document_;
  uint32_t index_;
};

class JsonDocument {
 public:
  Json root() const { return Json(this, 0); }

 private:
  friend class Json;
  friend class JsonBuilder;

  struct Node {
    JsonType type;
    uint32_t size;  // children (of an object: members), bytes of a string, or 1 for an integer beyond 64 bits
    uint32_t end;   // index after the value and all that is in it
    union {
      int64_t integer;
      double number;
      size_t offset;  // of a string in text_
    };
  };

  std::vector<Node> nodes_;
  std::string text_;  // all strings, one after the other
};

// `what` begins the message. Integers beyond 64 bits become numbers. Errors: `range_error` for a number beyond
// binary64, SizeLimit for more than `max_values` values and keys, Metadata for everything else.
Result<JsonDocument> ParseJson(std::string_view text, const std::string& what, size_t max_values,
                               ErrorCode range_error = ErrorCode::kMetadata);

}  // namespace bitvit

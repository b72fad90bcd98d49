#include "program/json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace bitvit {

JsonType Json::type() const { return document_->nodes_[index_].type; }

int64_t Json::integer() const { return document_->nodes_[index_].integer; }

double Json::number() const {
  const JsonDocument::Node& node = document_->nodes_[index_];
  return node.type == JsonType::kInteger ? static_cast<double>(node.integer) : node.number;
}

std::optional<int64_t> Json::whole() const {
  const JsonDocument::Node& node = document_->nodes_[index_];
  if (node.type == JsonType::kInteger) return node.integer;
  if (node.type != JsonType::kNumber || node.size == 0) return std::nullopt;
  using Limits = std::numeric_limits<int64_t>;
  return node.number > 0 ? Limits::max() : Limits::min();
}

std::string_view Json::string() const {
  const JsonDocument::Node& node = document_->nodes_[index_];
  return std::string_view(document_->text_).substr(node.offset, node.size);
}

size_t Json::size() const { return document_->nodes_[index_].size; }

Json Json::first() const { return Json(document_, index_ + 1); }

Json Json::next() const { return Json(document_, document_->nodes_[index_].end); }

// What nlohmann's parser tells as it goes (its SAX interface). Each function returns whether to go on.
class JsonBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonBuilder(JsonDocument& document, size_t max_values, ErrorCode range_error)
      : document_(document), max_values_(max_values), range_error_(range_error) {}

  const Error& error() const { return error_; }

  bool null() override { return Add(JsonType::kNull); }
  bool boolean(bool value) override { return Add(JsonType::kBoolean) && SetInteger(value ? 1 : 0); }
  bool number_integer(int64_t value) override { return Add(JsonType::kInteger) && SetInteger(value); }
  bool number_unsigned(uint64_t value) override {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return number_float(static_cast<double>(value), "");
    }
    return Add(JsonType::kInteger) && SetInteger(static_cast<int64_t>(value));
  }
  bool number_float(double value, const std::string& text) override {
    if (!std::isfinite(value)) return Fail(range_error_, "a number is not finite");
    if (!Add(JsonType::kNumber)) return false;
    document_.nodes_.back().number = value;
    document_.nodes_.back().size = text.find_first_of(".eE") == std::string::npos ? 1 : 0;
    return true;
  }
  bool string(std::string& value) override { return AddString(value); }
  bool binary(nlohmann::json::binary_t&) override { return false; }  // not in text
  bool start_object(size_t) override { return Open(JsonType::kObject); }
  bool key(std::string& value) override {
    if (!AddString(value)) return false;
    --document_.nodes_[open_.back()].size;  // members are counted, not keys and values
    return true;
  }
  bool end_object() override {
    if (HasRepeatedKey(open_.back())) return Fail(ErrorCode::kMetadata, "a key occurs twice in one object");
    return Close();
  }
  bool start_array(size_t) override { return Open(JsonType::kArray); }
  bool end_array() override { return Close(); }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) override {
    constexpr int kNumberOutOfRange = 406;
    if (error.id == kNumberOutOfRange) return Fail(range_error_, "a number is not finite");
    return Fail(ErrorCode::kMetadata, "syntax error at byte " + std::to_string(position));
  }

 private:
  bool Fail(ErrorCode code, const std::string& message) {
    error_ = {code, message};
    return false;
  }

  bool Add(JsonType type) {
    if (document_.nodes_.size() >= max_values_) {
      return Fail(ErrorCode::kSizeLimit, "more than " + std::to_string(max_values_) + " values and keys");
    }
    if (!open_.empty()) ++document_.nodes_[open_.back()].size;
    JsonDocument::Node node;
    node.type = type;
    node.size = 0;
    node.end = static_cast<uint32_t>(document_.nodes_.size() + 1);
    node.integer = 0;
    document_.nodes_.push_back(node);
    return true;
  }
  bool SetInteger(int64_t value) {
    document_.nodes_.back().integer = value;
    return true;
  }
  bool AddString(const std::string& value) {
    if (!Add(JsonType::kString)) return false;
    JsonDocument::Node& node = document_.nodes_.back();
    node.offset = document_.text_.size();
    node.size = static_cast<uint32_t>(value.size());
    document_.text_ += value;
    return true;
  }
  bool Open(JsonType type) {
    if (open_.size() >= kMaxJsonDepth) return Fail(ErrorCode::kMetadata, "too deeply nested");
    if (!Add(type)) return false;
    open_.push_back(static_cast<uint32_t>(document_.nodes_.size() - 1));
    return true;
  }
  bool Close() {
    document_.nodes_[open_.back()].end = static_cast<uint32_t>(document_.nodes_.size());
    open_.pop_back();
    return true;
  }
  bool HasRepeatedKey(uint32_t object) {
    keys_.clear();
    Json key = Json(&document_, object).first();
    for (size_t n = document_.nodes_[object].size; n > 0; --n) {
      keys_.push_back(key.string());
      key = key.next().next();
    }
    std::sort(keys_.begin(), keys_.end());
    return std::adjacent_find(keys_.begin(), keys_.end()) != keys_.end();
  }

  JsonDocument& document_;
  const size_t max_values_;
  const ErrorCode range_error_;
  std::vector<uint32_t> open_;  // arrays and objects that are not complete
  std::vector<std::string_view> keys_;
  Error error_ = {ErrorCode::kMetadata, "syntax error"};
};

Result<JsonDocument> ParseJson(std::string_view text, const std::string& what, size_t max_values,
                               ErrorCode range_error) {
  // The parser takes a null character for the end of the text, and skips a byte order mark.
  if (text.find('\0') != std::string_view::npos || text.substr(0, 3) == "\xef\xbb\xbf") {
    return Error{ErrorCode::kMetadata, what + " is not valid JSON: a null character or a byte order mark"};
  }
  JsonDocument document;
  JsonBuilder builder(document, max_values, range_error);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    return Error{builder.error().code, what + " is not valid JSON: " + builder.error().message};
  }
  return document;
}

}  // namespace bitvit

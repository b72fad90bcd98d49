#include "fuzz/parts.h"

#include <algorithm>

#include "fuzz/arena_json.h"
#include "program/container.h"

namespace bitvit {
namespace {

using json = ArenaJson;

constexpr size_t kLengthBytes = 8;
constexpr DataType kTypes[] = {DataType::kF32, DataType::kI32, DataType::kI16, DataType::kI8, DataType::kU8};

std::string Dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

// A text as it comes out of the header: what is not UTF-8 is replaced there.
std::string AsStored(std::string text) {
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) >= 0; })) return text;
  return json::parse(Dump(text), nullptr, false).get<std::string>();
}

// The checksum of what the reader will see.
std::string ChecksumOf(const Parts& parts) {
  Container container;
  container.metadata = parts.metadata;
  for (const TensorPart& part : parts.tensors) {
    const auto* type =
        std::find_if(std::begin(kTypes), std::end(kTypes), [&](DataType t) { return StoredTypeName(t) == part.type; });
    // The reader refuses a shape that is larger than its bytes, before it looks at the checksum.
    if (type == std::end(kTypes) || TensorBytes(part.type, part.shape) != part.bytes.size()) continue;
    container.tensors.emplace(part.name,
                              Tensor{*type, Shape(part.shape.begin(), part.shape.end()), part.bytes.data(), nullptr});
  }
  return Checksum(container);
}

}  // namespace

uint64_t ElementSize(const std::string& type) {
  if (type == "F64" || type == "I64") return 8;
  if (type == "F32" || type == "I32") return 4;
  return type == "I16" || type == "F16" ? 2 : 1;
}

std::optional<uint64_t> TensorBytes(const std::string& type, const std::vector<uint64_t>& shape) {
  uint64_t n_bytes = ElementSize(type);
  for (const uint64_t size : shape) {
    if (size > kMostTensorBytes) return std::nullopt;
    n_bytes *= size;
    if (n_bytes > kMostTensorBytes) return std::nullopt;
  }
  return n_bytes;
}

std::optional<Parts> Split(const uint8_t* data, size_t size) {
  if (size < kLengthBytes) return std::nullopt;
  uint64_t header_size = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) header_size |= uint64_t{data[i]} << (8 * i);
  if (header_size > size - kLengthBytes) return std::nullopt;
  const uint8_t* const begin = data + kLengthBytes + header_size;
  const uint64_t n_data = size - kLengthBytes - header_size;
  const json header = json::parse(data + kLengthBytes, begin, nullptr, false);
  if (!header.is_object()) return std::nullopt;
  Parts parts;
  for (const auto& [name, entry] : header.items()) {
    if (!entry.is_object()) return std::nullopt;
    if (name == "__metadata__") {
      for (const auto& [key, text] : entry.items()) {
        if (!text.is_string()) return std::nullopt;
        parts.metadata[key] = text.get<std::string>();
      }
      continue;
    }
    if (!entry.contains("dtype") || !entry["dtype"].is_string() || !entry.contains("shape") ||
        !entry["shape"].is_array() || !entry.contains("data_offsets") || entry["data_offsets"].size() != 2) {
      return std::nullopt;
    }
    TensorPart part = {name, entry["dtype"].get<std::string>(), {}, {}};
    for (const json& axis : entry["shape"]) {
      if (!axis.is_number_unsigned()) return std::nullopt;
      part.shape.push_back(axis.get<uint64_t>());
    }
    const json &first = entry["data_offsets"][0], &last = entry["data_offsets"][1];
    if (!first.is_number_unsigned() || !last.is_number_unsigned()) return std::nullopt;
    const uint64_t from = first.get<uint64_t>(), to = last.get<uint64_t>();
    if (from > to || to > n_data) return std::nullopt;
    part.bytes.assign(begin + from, begin + to);
    parts.tensors.push_back(std::move(part));
  }
  return parts;
}

std::string Join(Parts parts) {
  json header = json::object();
  std::string content;
  // As the writer does: wide elements first, so that tensors lie aligned.
  std::stable_sort(parts.tensors.begin(), parts.tensors.end(),
                   [](const TensorPart& a, const TensorPart& b) { return ElementSize(a.type) > ElementSize(b.type); });
  for (TensorPart& part : parts.tensors) {
    part.bytes.resize(TensorBytes(part.type, part.shape).value_or(part.bytes.size()));
    header[part.name] = {{"dtype", part.type},
                         {"shape", part.shape},
                         {"data_offsets", {content.size(), content.size() + part.bytes.size()}}};
    content += part.bytes;
  }
  for (auto& [key, text] : parts.metadata) text = AsStored(std::move(text));
  for (TensorPart& part : parts.tensors) part.name = AsStored(std::move(part.name));
  if (parts.metadata.count("checksum") != 0) parts.metadata["checksum"] = ChecksumOf(parts);
  header["__metadata__"] = parts.metadata;
  const std::string text = Dump(header);
  std::string file;
  for (size_t i = 0; i < kLengthBytes; ++i) file += static_cast<char>(text.size() >> (8 * i) & 0xff);
  return file + text + content;
}

}  // namespace bitvit

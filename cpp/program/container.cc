#include "program/container.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/sha256.h"
#include "base/text.h"
#include "program/json.h"
#include "program/limits.h"

namespace bitvit {
namespace {

constexpr DataType kDataTypes[] = {DataType::kF32, DataType::kI32, DataType::kI16, DataType::kI8, DataType::kU8};
constexpr size_t kLengthBytes = 8;

Error NotABitvitFile(const std::string& message) { return {ErrorCode::kNotABitvitFile, message}; }

struct Entry {
  std::string name;
  DataType type = DataType::kU8;
  Shape shape;
  uint64_t begin = 0, end = 0;
};

// A member of an object, or nullptr where there is none.
const Json* Member(const Json& object, std::string_view name, Json& found) {
  Json key = object.first();
  for (size_t i = 0; i < object.size(); ++i, key = found.next()) {
    found = key.next();
    if (key.string() == name) return &found;
  }
  return nullptr;
}

bool ReadOffsets(const Json& json, Entry& entry) {
  if (!json.is_array() || json.size() != 2) return false;
  const Json begin = json.first(), end = begin.next();
  if (begin.type() != JsonType::kInteger || end.type() != JsonType::kInteger) return false;
  if (begin.integer() < 0 || end.integer() < begin.integer()) return false;
  entry.begin = static_cast<uint64_t>(begin.integer());
  entry.end = static_cast<uint64_t>(end.integer());
  return true;
}

// "tensor 'name' ": what follows is wrong with it.
Result<Entry> ReadEntry(std::string_view name, const Json& json) {
  Entry entry;
  entry.name = name;
  const std::string where = "tensor " + Quoted(name) + " ";
  Json found = json;
  if (!json.is_object() || json.size() != 3) return NotABitvitFile(where + "has no valid safetensors description");
  const Json* offsets = Member(json, "data_offsets", found);
  if (offsets == nullptr || !ReadOffsets(*offsets, entry)) return NotABitvitFile(where + "has no valid data_offsets");
  const Json* shape = Member(json, "shape", found);
  if (shape == nullptr || !shape->is_array()) return NotABitvitFile(where + "has no shape");
  if (shape->size() > kMaxRank) {
    return Error{ErrorCode::kSizeLimit, where + "has " + std::to_string(shape->size()) + " axes, at most " +
                                            std::to_string(kMaxRank) + " are allowed"};
  }
  uint64_t n_elements = 1;
  Json size = shape->first();
  for (size_t i = 0; i < shape->size(); ++i, size = size.next()) {
    const std::optional<int64_t> whole = size.whole();
    if (!whole.has_value()) return NotABitvitFile(where + "has a shape that is not made of integers");
    if (*whole < 1 || *whole > static_cast<int64_t>(kMaxDimension)) {
      return Error{ErrorCode::kSizeLimit, where + "has an axis of size " + std::to_string(*whole) + ", expected 1 to " +
                                              std::to_string(kMaxDimension)};
    }
    entry.shape.push_back(static_cast<size_t>(*whole));
    n_elements *= static_cast<uint64_t>(*whole);
    if (n_elements > kMaxFileBytes) return Error{ErrorCode::kSizeLimit, where + "is larger than any file may be"};
  }
  const Json* type = Member(json, "dtype", found);
  if (type == nullptr || !type->is_string()) return NotABitvitFile(where + "has no dtype");
  for (const DataType known : kDataTypes) {
    if (type->string() != StoredTypeName(known)) continue;
    entry.type = known;
    if (n_elements * DataTypeSize(known) != entry.end - entry.begin) {
      return NotABitvitFile(where + "has a size that differs from its shape");
    }
    return entry;
  }
  return Error{ErrorCode::kTensorType,
               where + "has the element type " + Quoted(type->string()) + ", expected F32, I32, I16, I8 or U8"};
}

Tensor MakeTensor(const Entry& entry, const std::byte* data, const std::shared_ptr<const void>& owner) {
  if (reinterpret_cast<uintptr_t>(data) % DataTypeSize(entry.type) == 0) return {entry.type, entry.shape, data, owner};
  const size_t n_bytes = static_cast<size_t>(entry.end - entry.begin);
  auto copy = std::make_shared<AlignedBuffer>(n_bytes);
  std::memcpy(copy->data(), data, n_bytes);
  const void* const copied = copy->data();
  return {entry.type, entry.shape, copied, std::move(copy)};
}

Status ReadMetadata(const Json& json, std::map<std::string, std::string>& metadata) {
  if (!json.is_object()) return NotABitvitFile("the metadata is not a JSON object");
  Json key = json.first();
  for (size_t i = 0; i < json.size(); ++i) {
    const Json text = key.next();
    if (!text.is_string()) {
      return {ErrorCode::kMetadata, "metadata " + Quoted(key.string()) + " must be a string"};
    }
    metadata.emplace(key.string(), text.string());
    key = text.next();
  }
  return {};
}

}  // namespace

const char* StoredTypeName(DataType type) {
  switch (type) {
    case DataType::kF32:
      return "F32";
    case DataType::kI32:
      return "I32";
    case DataType::kI16:
      return "I16";
    case DataType::kI8:
      return "I8";
    case DataType::kU8:
      return "U8";
  }
  return "?";
}

Result<Container> ReadContainer(const std::byte* data, size_t size, std::shared_ptr<const void> owner) {
  if (size == 0) return Error{ErrorCode::kTruncatedFile, "the file is empty"};
  uint64_t header_size = 0;
  for (size_t i = 0; i < std::min(size, kLengthBytes); ++i) header_size |= static_cast<uint64_t>(data[i]) << (8 * i);
  if (size > kLengthBytes && data[kLengthBytes] != std::byte{'{'}) return NotABitvitFile("not a .bitvit file");
  if (size > kLengthBytes && header_size > kMaxHeaderBytes) {
    if (header_size > kMaxFileBytes) return NotABitvitFile("not a .bitvit file");
    return Error{ErrorCode::kSizeLimit, "a header of " + std::to_string(header_size) + " bytes, at most " +
                                            std::to_string(kMaxHeaderBytes) + " are allowed"};
  }
  if (size <= kLengthBytes || header_size > size - kLengthBytes) {
    return Error{ErrorCode::kTruncatedFile, "the file ends within its header; copy or download it again"};
  }
  if (size > kMaxFileBytes) {
    return Error{ErrorCode::kSizeLimit,
                 std::to_string(size) + " bytes, at most " + std::to_string(kMaxFileBytes) + " are allowed"};
  }
  const std::string_view text(reinterpret_cast<const char*>(data) + kLengthBytes, static_cast<size_t>(header_size));
  const Result<JsonDocument> header = ParseJson(text, "the header", kMaxHeaderValues);
  if (!header.ok()) {
    if (header.error().code == ErrorCode::kSizeLimit) return header.error();
    return NotABitvitFile("not a .bitvit file, or a damaged one: " + header.error().message);
  }
  const Json root = header->root();
  if (!root.is_object()) return NotABitvitFile("not a .bitvit file");
  Json found = root;
  const Json* const metadata = Member(root, "__metadata__", found);
  const Json metadata_json = metadata == nullptr ? root : *metadata;
  Json format = root;
  if (metadata == nullptr || !metadata_json.is_object() || Member(metadata_json, "format", format) == nullptr ||
      !format.is_string() || format.string() != "bitvit") {
    return NotABitvitFile("a safetensors file, but not a .bitvit file; make one with `bitvit export`");
  }
  Container container;
  BITVIT_TRY(ReadMetadata(metadata_json, container.metadata));

  if (root.size() > kMaxTensors + 1) {
    return Error{ErrorCode::kSizeLimit,
                 std::to_string(root.size() - 1) + " tensors, at most " + std::to_string(kMaxTensors) + " are allowed"};
  }
  std::vector<Entry> entries;
  Json key = root.first();
  for (size_t i = 0; i < root.size(); ++i) {
    const Json value = key.next();
    if (key.string() != "__metadata__") {
      BITVIT_ASSIGN(Entry entry, ReadEntry(key.string(), value));
      entries.push_back(std::move(entry));
    }
    key = value.next();
  }
  // One tensor after the other, without gaps, from the first byte to the last.
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.begin < b.begin; });
  const uint64_t n_data = size - kLengthBytes - header_size;
  uint64_t end = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != end) return NotABitvitFile("tensor " + Quoted(entry.name) + " overlaps another or leaves a gap");
    end = entry.end;
  }
  if (end > n_data) {
    return Error{ErrorCode::kTruncatedFile, "the file ends within its tensors; copy or download it again"};
  }
  if (end < n_data) return NotABitvitFile("the file has bytes after its tensors");
  const std::byte* const first = data + kLengthBytes + static_cast<size_t>(header_size);
  for (const Entry& entry : entries) {
    container.tensors.emplace(entry.name, MakeTensor(entry, first + static_cast<size_t>(entry.begin), owner));
  }
  return container;
}

std::string Checksum(const Container& container) {
  const std::string_view separator("\0", 1);
  Sha256 digest;
  const auto add = [&](std::string_view text) {
    digest.Add(text);
    digest.Add(separator);
  };
  for (const auto& [key, text] : container.metadata) {
    if (key == "checksum") continue;
    add(key);
    add(text);
  }
  for (const auto& [name, tensor] : container.tensors) {
    add(name);
    add(StoredTypeName(tensor.type));
    std::string shape;
    for (const size_t size : tensor.shape) shape += (shape.empty() ? "" : ",") + std::to_string(size);
    add(shape);
    digest.Add(tensor.data, tensor.n_elements() * DataTypeSize(tensor.type));
  }
  return "sha256:" + digest.HexDigest();
}

}  // namespace bitvit

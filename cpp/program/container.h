// The container of a .bitvit file: safetensors (docs/format.md, Container).
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"
#include "ops/spec.h"

namespace bitvit {

using TensorMap = std::map<std::string, Tensor>;

struct Container {
  std::map<std::string, std::string> metadata;
  TensorMap tensors;  // aligned ones point into the file, the others are copies
};

// The format's name of an element type: "F32".
const char* StoredTypeName(DataType type);

// `owner` keeps the bytes alive, which must not change. Errors: NotABitvitFile, TruncatedFile, Metadata, SizeLimit,
// TensorType.
Result<Container> ReadContainer(const std::byte* data, size_t size, std::shared_ptr<const void> owner);

// "sha256:..." over everything but the metadata entry `checksum`.
std::string Checksum(const Container& container);

}  // namespace bitvit

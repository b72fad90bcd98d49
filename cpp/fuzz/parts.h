// A .bitvit file in parts that can be changed, and put together again with right lengths, offsets and checksum.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bitvit {

struct TensorPart {
  std::string name, type;  // "F32"
  std::vector<uint64_t> shape;
  std::string bytes;
};

struct Parts {
  std::map<std::string, std::string> metadata;
  std::vector<TensorPart> tensors;
};

inline constexpr uint64_t kMostTensorBytes = 1 << 16;  // of a tensor that Join makes

// Nothing where the bytes are not a safetensors file with metadata. Nothing else is checked.
std::optional<Parts> Split(const uint8_t* data, size_t size);

// Tensors are cut or filled up to the size of their shape.
std::string Join(Parts parts);

uint64_t ElementSize(const std::string& type);
// Bytes of a tensor of that type and shape; none where it would be larger than kMostTensorBytes.
std::optional<uint64_t> TensorBytes(const std::string& type, const std::vector<uint64_t>& shape);

}  // namespace bitvit

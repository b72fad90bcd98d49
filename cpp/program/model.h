// A whole .bitvit file, read and checked. Everything that runs a network, in every language, starts here.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/fit.h"
#include "program/container.h"
#include "program/program.h"

namespace bitvit {

inline constexpr int kFormatVersion = 2;

enum class Task { kClassification, kSegmentation };

struct Model {
  Task task = Task::kClassification;
  Program program;
  TensorMap tensors;
  Preprocessing preprocessing;
  std::vector<std::string> labels;
  std::optional<std::vector<std::array<uint8_t, 3>>> colors;
  // The metadata as they are in the file, strict JSON where docs/format.md says JSON.
  std::map<std::string, std::string> metadata;
};

// `data` are the bytes of the file: `owner` keeps them alive, and nothing may change them.
Result<std::shared_ptr<const Model>> ReadModel(const std::byte* data, size_t size, std::shared_ptr<const void> owner);

}  // namespace bitvit

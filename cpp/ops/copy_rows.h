// Operators that copy whole rows.
#pragma once

#include <cstring>
#include <utility>
#include <vector>

#include "ops/operator.h"
#include "ops/value.h"

namespace bitvit {

// Copies a part of each input, one after the other.
class CopyRows final : public Operator {
 public:
  struct Part {
    size_t first_byte, size_bytes;
  };
  explicit CopyRows(std::vector<Part> parts) : parts_(std::move(parts)) {}
  void Run(const RunContext& context) const override {
    std::byte* out = context.output<std::byte>(0);
    for (size_t i = 0; i < parts_.size(); ++i) {
      std::memcpy(out, context.input<std::byte>(i) + parts_[i].first_byte, parts_[i].size_bytes);
      out += parts_[i].size_bytes;
    }
  }

 private:
  std::vector<Part> parts_;
};

// Each output row is a row of the input: out[i] = in[source[i]], rows of a fixed number of bytes.
class GatherRows final : public Operator {
 public:
  GatherRows(std::vector<uint32_t> source, size_t row_bytes) : source_(std::move(source)), row_bytes_(row_bytes) {}

  void Run(const RunContext& context) const override {
    const std::byte* const in = context.input<std::byte>(0);
    std::byte* const out = context.output<std::byte>(0);
    context.Parallel(source_.size(), 8, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) {
        std::memcpy(out + i * row_bytes_, in + source_[i] * row_bytes_, row_bytes_);
      }
    });
  }

 private:
  std::vector<uint32_t> source_;
  size_t row_bytes_;
};

// Each output row is made of n_parts pieces of equal size: piece j of row i is the input's piece i * row_step + j *
// part_step. Input and output rows are rows of pieces without gaps.
class CopyPieces final : public Operator {
 public:
  CopyPieces(size_t n_rows, size_t n_parts, size_t row_step, size_t part_step, size_t piece_bytes)
      : n_rows_(n_rows), n_parts_(n_parts), row_step_(row_step), part_step_(part_step), piece_bytes_(piece_bytes) {}

  void Run(const RunContext& context) const override {
    const std::byte* const in = context.input<std::byte>(0);
    std::byte* const out = context.output<std::byte>(0);
    context.Parallel(n_rows_, 8, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) {
        for (size_t j = 0; j < n_parts_; ++j) {
          std::memcpy(out + (i * n_parts_ + j) * piece_bytes_, in + (i * row_step_ + j * part_step_) * piece_bytes_,
                      piece_bytes_);
        }
      }
    });
  }

 private:
  size_t n_rows_, n_parts_, row_step_, part_step_, piece_bytes_;
};

// Bytes of a row of a value, in the engine.
inline size_t RowBytes(const Value& value) { return value.size_bytes() / value.shape[0]; }

}  // namespace bitvit

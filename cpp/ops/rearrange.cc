// upsample, merge_patches, gather_rows, repeat_channels, mean_channels, reshape_rows, windows_to_heads,
// heads_to_windows.
#include <algorithm>
#include <cstring>

#include "ops/grid.h"
#include "ops/registry.h"

namespace bitvit {
namespace {

constexpr size_t kRowGrain = 8;

// Each output row is a row of the input: out[i] = in[source[i]], rows of a fixed number of bytes.
class GatherRows final : public Operator {
 public:
  GatherRows(std::vector<uint32_t> source, size_t row_bytes) : source_(std::move(source)), row_bytes_(row_bytes) {}

  void Run(const RunContext& context) const override {
    const std::byte* const in = context.input<std::byte>(0);
    std::byte* const out = context.output<std::byte>(0);
    context.Parallel(source_.size(), kRowGrain, [&](size_t begin, size_t end, size_t) {
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
    context.Parallel(n_rows_, kRowGrain, [&](size_t begin, size_t end, size_t) {
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

// heads_to_windows: output row w n + i is piece w of input row i.
class HeadsToWindows final : public Operator {
 public:
  HeadsToWindows(size_t n_rows, size_t windows, size_t piece_bytes)
      : n_rows_(n_rows), windows_(windows), piece_bytes_(piece_bytes) {}

  void Run(const RunContext& context) const override {
    const std::byte* const in = context.input<std::byte>(0);
    std::byte* const out = context.output<std::byte>(0);
    context.Parallel(n_rows_ * windows_, kRowGrain, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) {
        const size_t piece = i % n_rows_ * windows_ + i / n_rows_;
        std::memcpy(out + i * piece_bytes_, in + piece * piece_bytes_, piece_bytes_);
      }
    });
  }

 private:
  size_t n_rows_, windows_, piece_bytes_;
};

// merge_patches of bits: the rows of the patch's cells one behind the other, bit by bit.
class MergeBits final : public Operator {
 public:
  MergeBits(const Grid& grid, size_t patch, size_t width)
      : grid_(grid),
        patch_(patch),
        width_(width),
        in_words_(BitWords(width)),
        out_words_(BitWords(width * patch * patch)) {}

  void Run(const RunContext& context) const override {
    const size_t n_columns = grid_.width / patch_, n_rows = grid_.height / patch_ * n_columns;
    const uint64_t* const in = context.input<uint64_t>(0);
    uint64_t* const out = context.output<uint64_t>(0);
    context.Parallel(n_rows, kRowGrain, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) {
        const size_t top = i / n_columns * patch_, left = i % n_columns * patch_;
        uint64_t* const row = out + i * out_words_;
        std::memset(row, 0, out_words_ * 8);
        for (size_t t = 0; t < patch_ * patch_; ++t) {
          const size_t cell = (top + t / patch_) * grid_.width + left + t % patch_;
          Append(in + cell * in_words_, t * width_, row);
        }
      }
    });
  }

 private:
  // The bits of a row (padding 0) into the bits first.. of `out`.
  void Append(const uint64_t* row, size_t first, uint64_t* out) const {
    const size_t shift = first % 64;
    out += first / 64;
    for (size_t w = 0; w < in_words_; ++w) {
      out[w] |= row[w] << shift;
      const uint64_t rest = shift == 0 ? 0 : row[w] >> (64 - shift);
      if (rest != 0) out[w + 1] |= rest;  // there may be no such word
    }
  }

  Grid grid_;
  size_t patch_, width_, in_words_, out_words_;
};

class MeanChannels final : public Operator {
 public:
  MeanChannels(const SpecReader& reader, size_t group)
      : kernels_(reader.kernels().grid), group_(group), shape_(reader.spec().outputs[0].shape) {}

  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    float* const y = context.output<float>(0);
    context.Parallel(shape_[0], kRowGrain, [&](size_t begin, size_t end, size_t) {
      kernels_.mean_channels(x + begin * shape_[1] * group_, group_, y + begin * shape_[1], (end - begin) * shape_[1]);
    });
  }

 private:
  const GridKernels& kernels_;
  size_t group_;
  Shape shape_;
};

const Shape& OneFloatInput(const SpecReader& reader) {
  reader.InputCount(1, 1);
  return reader.Input(0, {ValueType::kF32}, 2);
}

// Bytes of a row of a value, in the engine.
size_t RowBytes(const Value& value) { return value.size_bytes() / value.shape[0]; }

}  // namespace

std::unique_ptr<Operator> MakeUpsample(SpecReader& reader) {
  const Shape& shape = OneFloatInput(reader);
  const Grid grid = ReadGrid(reader, shape[0]);
  const size_t factor = reader.Integer("factor", 1, kMaxGridKernel);
  reader.Writes({{ValueType::kF32, {shape[0] * factor * factor, shape[1]}}});
  std::vector<uint32_t> source(shape[0] * factor * factor);
  for (size_t i = 0; i < source.size(); ++i) {
    const size_t y = i / (grid.width * factor), x = i % (grid.width * factor);
    source[i] = static_cast<uint32_t>(y / factor * grid.width + x / factor);
  }
  return std::make_unique<GatherRows>(std::move(source), RowBytes(reader.spec().inputs[0]));
}

std::unique_ptr<Operator> MakeMergePatches(SpecReader& reader) {
  reader.InputCount(1, 1);
  const Shape& shape = reader.Input(0, {ValueType::kF32, ValueType::kSign}, 2);
  const Grid grid = ReadGrid(reader, shape[0]);
  const size_t patch = reader.Integer("patch", 1, kMaxGridKernel);
  if (grid.height % patch != 0 || grid.width % patch != 0) {
    reader.FailAttribute("a grid of " + std::to_string(grid.height) + " x " + std::to_string(grid.width) +
                         " cannot be cut into patches of " + std::to_string(patch));
  }
  const Value& in = reader.spec().inputs[0];
  reader.Writes({{in.type, {shape[0] / (patch * patch), shape[1] * patch * patch}}});
  if (in.is_bits() && shape[1] % 64 != 0) return std::make_unique<MergeBits>(grid, patch, shape[1]);
  std::vector<uint32_t> source(shape[0]);
  for (size_t i = 0; i < source.size(); ++i) {
    const size_t n_columns = grid.width / patch, cell = i / (patch * patch), tap = i % (patch * patch);
    const size_t y = cell / n_columns * patch + tap / patch, x = cell % n_columns * patch + tap % patch;
    source[i] = static_cast<uint32_t>(y * grid.width + x);
  }
  return std::make_unique<GatherRows>(std::move(source), RowBytes(in));
}

std::unique_ptr<Operator> MakeGatherRows(SpecReader& reader) {
  reader.InputCount(1, 1);
  const Shape& shape = reader.Input(0, {ValueType::kF32, ValueType::kSign}, 2);
  const size_t n = reader.LengthOf("index");
  const int32_t* const index = reader.Parameter("index", DataType::kI32, {{n}}).as<int32_t>();
  const int64_t n_rows = static_cast<int64_t>(shape[0]);
  const bool is_inside = std::all_of(index, index + n, [=](int32_t i) { return i >= 0 && i < n_rows; });
  reader.RequireContent(is_inside, "parameter 'index' points outside the rows");
  const Value& in = reader.spec().inputs[0];
  reader.Writes({{in.type, {n, shape[1]}}});
  return std::make_unique<GatherRows>(std::vector<uint32_t>(index, index + n), RowBytes(in));
}

std::unique_ptr<Operator> MakeRepeatChannels(SpecReader& reader) {
  const Shape& shape = OneFloatInput(reader);
  const size_t times = reader.Integer("times", 1, kMaxDimension / shape[1]);
  reader.Writes({{ValueType::kF32, {shape[0], shape[1] * times}}});
  return std::make_unique<CopyPieces>(shape[0], times, 1, 0, RowBytes(reader.spec().inputs[0]));
}

std::unique_ptr<Operator> MakeMeanChannels(SpecReader& reader) {
  const Shape& shape = OneFloatInput(reader);
  const size_t group = reader.Integer("group", 1, shape[1]);
  reader.Require(shape[1] % group == 0,
                 std::to_string(shape[1]) + " channels cannot be averaged in groups of " + std::to_string(group));
  reader.Writes({{ValueType::kF32, {shape[0], shape[1] / group}}});
  return std::make_unique<MeanChannels>(reader, group);
}

std::unique_ptr<Operator> MakeReshapeRows(SpecReader& reader) {
  const Shape& shape = OneFloatInput(reader);
  const size_t rows = reader.Integer("rows", 1, shape[0] * shape[1]), width = shape[0] * shape[1] / rows;
  reader.Require(shape[0] * shape[1] % rows == 0, std::to_string(shape[0]) + " x " + std::to_string(shape[1]) +
                                                      " values cannot be split into " + std::to_string(rows) + " rows");
  reader.Writes({{ValueType::kF32, {rows, width}}});
  return std::make_unique<CopyPieces>(rows, 1, 1, 0, width * sizeof(float));
}

std::unique_ptr<Operator> MakeWindowsToHeads(SpecReader& reader) {
  reader.InputCount(1, 1);
  const Value& in = reader.spec().inputs[0];
  Shape shape = reader.Input(0, {ValueType::kF32, ValueType::kSign}, in.type == ValueType::kSign ? 3 : 2);
  const size_t windows = reader.Integer("windows", 1, shape[0]);
  reader.Require(shape[0] % windows == 0,
                 std::to_string(shape[0]) + " rows cannot be split into " + std::to_string(windows) + " windows");
  const size_t n = shape[0] / windows;
  shape[0] = n;
  shape[1] *= windows;
  reader.Writes({{in.type, shape}});
  return std::make_unique<CopyPieces>(n, windows, 1, n, RowBytes(in));
}

std::unique_ptr<Operator> MakeHeadsToWindows(SpecReader& reader) {
  const Shape& shape = OneFloatInput(reader);
  const size_t windows = reader.Integer("windows", 1, shape[1]);
  reader.Require(shape[1] % windows == 0,
                 std::to_string(shape[1]) + " channels cannot be split into " + std::to_string(windows) + " windows");
  reader.Writes({{ValueType::kF32, {shape[0] * windows, shape[1] / windows}}});
  return std::make_unique<HeadsToWindows>(shape[0], windows, shape[1] / windows * sizeof(float));
}

}  // namespace bitvit

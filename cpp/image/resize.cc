#include "image/resize.h"

#include <algorithm>
#include <cstring>

namespace bitvit {
namespace {

uint8_t ToByte(int32_t sum) {
  const int32_t rounded = sum >> kWeightBits;
  return static_cast<uint8_t>(std::clamp(rounded, 0, 255));
}

// Weights add up to about 2^22, so sums of bytes stay within 2^31 but for filters whose negative lobes meet an extreme
// pattern of pixels; unsigned arithmetic then wraps as Pillow's does.
constexpr uint32_t kHalf = uint32_t{1} << (kWeightBits - 1);

template <size_t kChannels>
void ResizeRow(const uint8_t* in, const AxisWeights& axis, size_t n_out, uint8_t* out) {
  for (size_t i = 0; i < n_out; ++i) {
    const uint8_t* pixel = in + size_t{axis.starts[i]} * kChannels;
    const int32_t* const weights = axis.weights + i * axis.stride;
    uint32_t sums[kChannels];
    for (uint32_t& sum : sums) sum = kHalf;
    for (size_t k = 0; k < axis.counts[i]; ++k, pixel += kChannels) {
      for (size_t c = 0; c < kChannels; ++c) sums[c] += static_cast<uint32_t>(weights[k]) * pixel[c];
    }
    for (size_t c = 0; c < kChannels; ++c) out[i * kChannels + c] = ToByte(static_cast<int32_t>(sums[c]));
  }
}

void ResizeRow(size_t channels, const uint8_t* in, const AxisWeights& axis, size_t n_out, uint8_t* out) {
  switch (channels) {
    case 1:
      return ResizeRow<1>(in, axis, n_out, out);
    case 3:
      return ResizeRow<3>(in, axis, n_out, out);
    default:
      return ResizeRow<4>(in, axis, n_out, out);
  }
}

Error NoMemory() { return {ErrorCode::kOutOfMemory, "there is not enough memory to resize the image"}; }

// Row y of the part of the photo that is resized, in the network's channels.
class RowReader {
 public:
  RowReader(const Pixels& photo, size_t top, size_t left, size_t width, size_t channels)
      : photo_(photo), top_(top), left_(left), width_(width), channels_(channels) {}

  bool Allocate() { return RowInPlace(photo_, 0, 0, channels_) != nullptr || buffer_.Allocate(width_ * channels_); }

  const uint8_t* Row(size_t y) {
    const uint8_t* const row = RowInPlace(photo_, top_ + y, left_, channels_);
    if (row != nullptr) return row;
    ReadRow(photo_, top_ + y, left_, width_, channels_, buffer_.as<uint8_t>());
    return buffer_.as<uint8_t>();
  }

 private:
  const Pixels& photo_;
  const size_t top_, left_, width_, channels_;
  AlignedBuffer buffer_;
};

Status ResizeNearest(RowReader& reader, size_t channels, const AxisWindow& rows, const AxisWindow& columns,
                     uint8_t* out) {
  BITVIT_ASSIGN(const AlignedBuffer row_inputs, MakeNearestInputs(rows));
  BITVIT_ASSIGN(const AlignedBuffer column_inputs, MakeNearestInputs(columns));
  std::memset(out, 0, rows.count * columns.count * channels);
  for (size_t y = 0; y < rows.count; ++y, out += columns.count * channels) {
    if (row_inputs.as<uint32_t>()[y] >= rows.n_in) continue;
    const uint8_t* const row = reader.Row(row_inputs.as<uint32_t>()[y]);
    for (size_t x = 0; x < columns.count; ++x) {
      const size_t input = column_inputs.as<uint32_t>()[x];
      if (input < columns.n_in) std::memcpy(out + x * channels, row + input * channels, channels);
    }
  }
  return {};
}

// Makes the columns of one row: resized, or cut out where the width stays.
class ColumnPass {
 public:
  Status Prepare(Interpolation interpolation, const AxisWindow& columns, size_t channels) {
    columns_ = columns;
    channels_ = channels;
    if (columns.n_in == columns.n_out) return {};
    BITVIT_ASSIGN(axis_, MakeAxisWeights(interpolation, columns));
    return {};
  }

  void Run(const uint8_t* row, uint8_t* out) const {
    if (columns_.n_in == columns_.n_out) {
      std::memcpy(out, row + columns_.first * channels_, columns_.count * channels_);
    } else {
      ResizeRow(channels_, row, axis_, columns_.count, out);
    }
  }

 private:
  AxisWindow columns_{};
  AxisWeights axis_{};
  size_t channels_ = 0;
};

// Makes one row out of several.
class RowPass {
 public:
  Status Prepare(Interpolation interpolation, const AxisWindow& rows, size_t row_bytes) {
    row_bytes_ = row_bytes;
    n_rows_ = rows.count;
    BITVIT_ASSIGN(axis_, MakeAxisWeights(interpolation, rows));
    if (!sums_.Allocate(row_bytes * sizeof(uint32_t))) return NoMemory();
    return {};
  }

  // The input rows that are needed: both ends grow from output to output.
  size_t first_input() const { return axis_.starts[0]; }
  size_t end_input() const { return size_t{axis_.starts[n_rows_ - 1]} + axis_.counts[n_rows_ - 1]; }

  // input(y) gives the bytes of input row y.
  template <typename Input>
  void Run(size_t y, Input input, uint8_t* out) {
    uint32_t* const sums = sums_.as<uint32_t>();
    std::fill_n(sums, row_bytes_, kHalf);
    for (size_t k = 0; k < axis_.counts[y]; ++k) {
      const uint8_t* const row = input(axis_.starts[y] + k);
      const auto weight = static_cast<uint32_t>(axis_.weights[y * axis_.stride + k]);
      for (size_t i = 0; i < row_bytes_; ++i) sums[i] += weight * row[i];
    }
    for (size_t i = 0; i < row_bytes_; ++i) out[i] = ToByte(static_cast<int32_t>(sums[i]));
  }

 private:
  AxisWeights axis_{};
  AlignedBuffer sums_;
  size_t row_bytes_ = 0, n_rows_ = 0;
};

// Pillow's rule since version 13; earlier versions always resize columns first.
bool RowsComeFirst(const AxisWindow& rows, const AxisWindow& columns) {
  const auto less = [](const AxisWindow& axis) {
    return static_cast<int64_t>(axis.n_in) - static_cast<int64_t>(axis.n_out);
  };
  return less(rows) > 0 && less(rows) > 2 * less(columns);
}

Status ResizeRowsFirst(RowReader& reader, RowPass& row_pass, const ColumnPass& column_pass, size_t n_rows,
                       size_t in_row_bytes, size_t out_row_bytes, uint8_t* out) {
  AlignedBuffer wide;
  if (!wide.Allocate(in_row_bytes)) return NoMemory();
  for (size_t y = 0; y < n_rows; ++y) {
    row_pass.Run(y, [&](size_t input) { return reader.Row(input); }, wide.as<uint8_t>());
    column_pass.Run(wide.as<uint8_t>(), out + y * out_row_bytes);
  }
  return {};
}

Status ResizeColumnsFirst(RowReader& reader, const ColumnPass& column_pass, RowPass& row_pass, size_t n_rows,
                          size_t row_bytes, uint8_t* out) {
  const size_t first = row_pass.first_input(), end = row_pass.end_input();
  const uint64_t n_bytes = uint64_t{end - first} * row_bytes;
  AlignedBuffer narrow;
  if (n_bytes > SIZE_MAX / 2 || !narrow.Allocate(static_cast<size_t>(n_bytes))) return NoMemory();
  const auto narrow_row = [&](size_t y) { return narrow.as<uint8_t>() + (y - first) * row_bytes; };
  for (size_t y = first; y < end; ++y) column_pass.Run(reader.Row(y), narrow_row(y));
  for (size_t y = 0; y < n_rows; ++y) row_pass.Run(y, narrow_row, out + y * row_bytes);
  return {};
}

}  // namespace

Status Resize(const Pixels& photo, size_t top, size_t left, size_t channels, Interpolation interpolation,
              const AxisWindow& rows, const AxisWindow& columns, uint8_t* out) {
  RowReader reader(photo, top, left, columns.n_in, channels);
  if (!reader.Allocate()) return NoMemory();
  if (interpolation == Interpolation::kNearest) return ResizeNearest(reader, channels, rows, columns, out);
  ColumnPass column_pass;
  BITVIT_TRY(column_pass.Prepare(interpolation, columns, channels));
  const size_t in_row_bytes = columns.n_in * channels, out_row_bytes = columns.count * channels;
  if (rows.n_in == rows.n_out) {
    for (size_t y = 0; y < rows.count; ++y) column_pass.Run(reader.Row(rows.first + y), out + y * out_row_bytes);
    return {};
  }
  const bool rows_first = RowsComeFirst(rows, columns);
  RowPass row_pass;
  BITVIT_TRY(row_pass.Prepare(interpolation, rows, rows_first ? in_row_bytes : out_row_bytes));
  if (rows_first) {
    return ResizeRowsFirst(reader, row_pass, column_pass, rows.count, in_row_bytes, out_row_bytes, out);
  }
  return ResizeColumnsFirst(reader, column_pass, row_pass, rows.count, out_row_bytes, out);
}

}  // namespace bitvit

// Gathers the bits of each cell's taps for kernels/binary_conv.
#include <algorithm>
#include <cstring>
#include <map>

#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

constexpr size_t kCellGrain = 8;
constexpr size_t kMaxCells = 16;                 // that one call of the kernel gets,
constexpr size_t kMaxGatheredBytes = 16 * 1024;  // unless they take more than that

// The taps first..last-1 along one axis that are inside the grid: all of them in most places.
struct TapRange {
  size_t first, last;
  bool operator<(const TapRange& other) const { return first != other.first ? first < other.first : last < other.last; }
};

// The different ranges along an axis, and which of them each position has.
struct AxisTaps {
  std::vector<TapRange> ranges;
  std::vector<uint8_t> range_of;  // at most kernel + 1 different ones
};

AxisTaps FindTapRanges(size_t size, size_t kernel, size_t dilation) {
  AxisTaps axis;
  std::map<TapRange, uint8_t> known;
  for (size_t i = 0; i < size; ++i) {
    const size_t before = std::min(kernel / 2, i / dilation), behind = std::min(kernel / 2, (size - 1 - i) / dilation);
    const TapRange range = {kernel / 2 - before, kernel / 2 + behind + 1};
    const auto [found, is_new] = known.emplace(range, static_cast<uint8_t>(axis.ranges.size()));
    if (is_new) axis.ranges.push_back(range);
    axis.range_of.push_back(found->second);
  }
  return axis;
}

// n <= 32 bits of a row of words.
uint32_t BitsAt(const uint64_t* row, size_t first, size_t n) {
  uint64_t word = row[first / 64] >> (first % 64);
  if (first % 64 + n > 64) word |= row[first / 64 + 1] << (64 - first % 64);
  return static_cast<uint32_t>(word & ((uint64_t{1} << n) - 1));
}

class BinaryConv final : public Operator {
 public:
  explicit BinaryConv(const Operands& operands)
      : kernels_(operands.kernels().binary_conv),
        height_(operands.Size("h")),
        grid_width_(operands.Size("w")),
        n_words_(BitWords(operands.Size("C"))),
        kernel_(operands.Size("kernel")),
        dilation_(operands.Size("dilation")),
        width_(operands.Size("C/groups")),
        zeros_(operands.Zeros(n_words_ * sizeof(uint64_t))) {
    const size_t n_groups = operands.Size("groups"), n_taps = kernel_ * kernel_;
    tap_bytes_ = width_ <= 8 ? 1 : width_ <= 16 ? 2 : AlignUp(width_, 32) / 8;
    shape_ = {n_groups, operands.Size("O/groups"), (n_taps * tap_bytes_ + 3) / 4};
    const SignRows weight = operands.Signs("weight", width_);
    scale_ = Padded(operands.Parameter("scale").as<float>());
    bias_ = Padded(operands.Parameter("bias").as<float>());
    const BinaryConvRunKernels& runs = kernels_.runs;
    has_runs_ = runs.fits != nullptr && runs.fits(shape_, width_);
    weight_ = operands.Layout("weight", [&] {
      if (!has_runs_) return PackedWeight(weight.words());
      AlignedBuffer packed(runs.packed_bytes(shape_, width_, n_taps));
      runs.pack(weight.words(), shape_, width_, n_taps, packed.data());
      return packed;
    });
    rows_ = FindTapRanges(height_, kernel_, dilation_);
    columns_ = FindTapRanges(grid_width_, kernel_, dilation_);
    offsets_ = operands.Layout("weight", [&] { return Offsets(weight); }, 1);
    cells_ = std::clamp(kMaxGatheredBytes / RowBytes(), size_t{1}, kMaxCells);
  }

  size_t thread_scratch_bytes(size_t) const override {
    return ScratchForTaps() + std::max(ScratchForTaps(), cells_ * RowBytes());
  }

  void Run(const RunContext& context) const override {
    context.Parallel(height_ * grid_width_, kCellGrain, [&](size_t begin, size_t end, size_t thread) {
      std::byte* const scratch = static_cast<std::byte*>(context.thread_scratch(thread));
      if (has_runs_) {
        RunRows(context, begin, end, scratch);
      } else {
        RunCells(context, begin, end, scratch);
      }
    });
  }

 private:
  size_t RowBytes() const { return shape_.n_groups * shape_.n_units * sizeof(uint32_t); }
  size_t ScratchForTaps() const { return AlignUp((kernel_ * kernel_ + 1) * sizeof(const uint64_t*)); }
  size_t PaddedGroup() const { return AlignUp(shape_.group_outputs, kBinaryConvBlock); }
  // Where the parameters and offsets of an output are.
  size_t PaddedOutput(size_t output) const {
    return output / shape_.group_outputs * PaddedGroup() + output % shape_.group_outputs;
  }

  AlignedBuffer Padded(const float* values) const {
    AlignedBuffer padded(shape_.n_groups * PaddedGroup() * sizeof(float));
    for (size_t o = 0; o < shape_.n_groups * shape_.group_outputs; ++o) padded.as<float>()[PaddedOutput(o)] = values[o];
    return padded;
  }

  // The bits of one tap, read from `first`, as the bytes of the gathered row that belong to it.
  void CopyTap(const uint64_t* row, size_t first, std::byte* out) const {
    for (size_t done = 0; done < width_; done += 32) {
      const uint32_t bits = BitsAt(row, first + done, std::min<size_t>(width_ - done, 32));
      std::memcpy(out + done / 8, &bits, std::min<size_t>(tap_bytes_, 4));
    }
  }

  AlignedBuffer PackedWeight(const uint64_t* rows) const {
    const size_t n_taps = kernel_ * kernel_;
    AlignedBuffer packed(shape_.n_groups * PaddedGroup() * shape_.n_units * sizeof(uint32_t));
    std::vector<uint32_t> units(shape_.n_units);
    for (size_t o = 0; o < shape_.n_groups * shape_.group_outputs; ++o) {
      for (size_t t = 0; t < n_taps; ++t) {
        CopyTap(rows + (o * n_taps + t) * BitWords(width_), 0,
                reinterpret_cast<std::byte*>(units.data()) + t * tap_bytes_);
      }
      const size_t place = PaddedOutput(o);
      uint32_t* const block = packed.as<uint32_t>() + place / kBinaryConvBlock * shape_.n_units * kBinaryConvBlock;
      for (size_t u = 0; u < shape_.n_units; ++u) block[u * kBinaryConvBlock + place % kBinaryConvBlock] = units[u];
    }
    return packed;
  }

  // offsets_: [range of rows][range of columns][output].
  AlignedBuffer Offsets(const SignRows& weight) const {
    const size_t n_padded = shape_.n_groups * PaddedGroup(), side = kernel_ + 1;
    AlignedBuffer offsets(rows_.ranges.size() * columns_.ranges.size() * n_padded * sizeof(int32_t));
    std::vector<int32_t> ones(side * side);  // 1 bits of the weights in the taps above and left of [y][x]
    for (size_t o = 0; o < shape_.n_groups * shape_.group_outputs; ++o) {
      for (size_t t = 0; t < kernel_ * kernel_; ++t) {
        const size_t row = o * kernel_ * kernel_ + t;
        const int32_t count = weight.CountOnes(row, row + 1);
        const size_t place = (t / kernel_ + 1) * side + t % kernel_ + 1;
        ones[place] = count + ones[place - 1] + ones[place - side] - ones[place - side - 1];
      }
      int32_t* offset = offsets.as<int32_t>() + PaddedOutput(o);
      for (const TapRange& r : rows_.ranges) {
        for (const TapRange& c : columns_.ranges) {
          const int32_t inside = ones[r.last * side + c.last] - ones[r.first * side + c.last] -
                                 ones[r.last * side + c.first] + ones[r.first * side + c.first];
          const size_t n_inside = (r.last - r.first) * (c.last - c.first) * width_;
          *offset = static_cast<int32_t>(n_inside) + 2 * (ones[side * side - 1] - inside);
          offset += n_padded;
        }
      }
    }
    return offsets;
  }

  void RunCells(const RunContext& context, size_t begin, size_t end, std::byte* scratch) const {
    const size_t n_outputs = shape_.n_groups * shape_.group_outputs, row_units = RowBytes() / sizeof(uint32_t);
    const BinaryConvParameters parameters = {weight_.as<uint32_t>(), scale_.as<float>(), bias_.as<float>()};
    const uint64_t** const taps = reinterpret_cast<const uint64_t**>(scratch);
    uint32_t* const gathered = reinterpret_cast<uint32_t*>(scratch + ScratchForTaps());
    taps[kernel_ * kernel_] = zeros_.as<uint64_t>();
    for (size_t first = begin; first < end; first += cells_) {
      const size_t n = std::min(end - first, cells_);
      const int32_t* offsets[kMaxCells];
      for (size_t i = 0; i < n; ++i) {
        offsets[i] = FindTaps(context.input<uint64_t>(0), first + i, taps);
        Gather(taps, gathered + i * row_units);
      }
      kernels_.multiply(gathered, offsets, parameters, context.output<float>(0) + first * n_outputs, n, shape_);
    }
  }

  // Neighbouring cells of a row that have the same taps inside the grid are a run.
  void RunRows(const RunContext& context, size_t begin, size_t end, std::byte* scratch) const {
    const size_t n_outputs = shape_.n_groups * shape_.group_outputs, n_taps = kernel_ * kernel_;
    const uint64_t** const taps = reinterpret_cast<const uint64_t**>(scratch);
    size_t* const steps = reinterpret_cast<size_t*>(scratch + ScratchForTaps());
    for (size_t cell = begin; cell < end;) {
      const size_t column = cell % grid_width_, last = std::min(grid_width_, column + (end - cell));
      size_t next = column + 1;
      while (next < last && columns_.range_of[next] == columns_.range_of[column]) ++next;
      const int32_t* const offset = FindTaps(context.input<uint64_t>(0), cell, taps);
      for (size_t t = 0; t < n_taps; ++t) steps[t] = taps[t] == zeros_.as<uint64_t>() ? 0 : n_words_;
      kernels_.runs.multiply({taps, steps, n_taps, next - column, offset}, weight_.data(), shape_, width_,
                             scale_.as<float>(), bias_.as<float>(), context.output<float>(0) + cell * n_outputs);
      cell += next - column;
    }
  }

  // The rows of bits of a cell's taps, zeros for those outside the grid. Returns the cell's offsets.
  const int32_t* FindTaps(const uint64_t* x, size_t cell, const uint64_t** taps) const {
    const size_t y = cell / grid_width_, column = cell % grid_width_, kernel = kernel_;
    const size_t row_pattern = rows_.range_of[y], column_pattern = columns_.range_of[column];
    const TapRange r = rows_.ranges[row_pattern], c = columns_.ranges[column_pattern];
    const size_t step = dilation_ * n_words_, left = column + c.first * dilation_ - kernel / 2 * dilation_;
    if ((r.last - r.first) * (c.last - c.first) < kernel * kernel) {
      std::fill(taps, taps + kernel * kernel, zeros_.as<uint64_t>());
    }
    for (size_t ky = r.first; ky < r.last; ++ky) {
      const size_t tap_row = y + ky * dilation_ - kernel / 2 * dilation_;
      const uint64_t* tap = x + (tap_row * grid_width_ + left) * n_words_;
      for (size_t kx = c.first; kx < c.last; ++kx, tap += step) taps[ky * kernel + kx] = tap;
    }
    return offsets_.as<int32_t>() +
           (row_pattern * columns_.ranges.size() + column_pattern) * shape_.n_groups * PaddedGroup();
  }

  // [group][unit]: the bits of all taps of a group, tap_bytes_ each.
  void Gather(const uint64_t* const* taps, uint32_t* units) const {
    const size_t n_groups = shape_.n_groups, n_units = shape_.n_units, n_taps = kernel_ * kernel_;
    if (width_ == 16) {  // two taps a unit; there is one tap more, of zeros
      for (size_t g = 0; g < n_groups; ++g, units += n_units) {
        for (size_t u = 0; u < n_units; ++u) {
          units[u] = BitsOf<uint16_t>(taps[2 * u], g) | static_cast<uint32_t>(BitsOf<uint16_t>(taps[2 * u + 1], g))
                                                            << 16;
        }
      }
    } else if (width_ % 32 == 0) {
      const size_t n = width_ / 32;
      for (size_t g = 0; g < n_groups; ++g) {
        for (size_t t = 0; t < n_taps; ++t) {
          for (size_t w = 0; w < n; ++w) *units++ = BitsOf<uint32_t>(taps[t], g * n + w);
        }
      }
    } else {
      for (size_t g = 0; g < n_groups; ++g, units += n_units) {
        units[n_units - 1] = 0;  // perhaps partly after the last tap
        for (size_t t = 0; t < n_taps; ++t) {
          CopyTap(taps[t], g * width_, reinterpret_cast<std::byte*>(units) + t * tap_bytes_);
        }
      }
    }
  }

  // Element i of a row of bits cut into elements of that type.
  template <typename T>
  static T BitsOf(const uint64_t* row, size_t i) {
    T bits;
    std::memcpy(&bits, reinterpret_cast<const std::byte*>(row) + i * sizeof(T), sizeof(T));
    return bits;
  }

  const BinaryConvKernels& kernels_;
  size_t height_, grid_width_, n_words_, kernel_, dilation_, width_, tap_bytes_ = 0, cells_ = 0;
  BinaryConvShape shape_;
  AxisTaps rows_, columns_;
  AlignedBuffer zeros_, weight_, scale_, bias_, offsets_;
  bool has_runs_ = false;
};

}  // namespace

BITVIT_OPERATOR(binary_conv) {
  static_assert(kBinaryGemmMaxInputs == 32767);
  op.Input("x", "sign [N,C]").Grid().Integer("kernel", "1", "63").Integer("dilation", "1", "63");
  op.Integer("groups", "1", "C").Parameter("scale", "f32 [O]").Parameter("bias", "f32 [O]").Output("y", "f32 [N,O]");
  op.Divides("2", "kernel-1", ErrorCode::kOperatorAttribute);  // odd
  op.Divides("groups", "C").Divides("groups", "O").AtMost("kernel*kernel*(C/groups)", "32767");
  op.Parameter("weight", "bits [O,kernel*kernel,C/groups]").Tiled();
  // Taps outside the grid count as well: they are few, and their number depends on the dilation.
  // Outputs of a group in blocks of 16, taps in whole bytes, and a correction for each of the taps that a border can
  // cut off.
  op.LayoutBytes("groups*((O/groups+15)/16*16)*(kernel*kernel*((C/groups+31)/32*4)+4+4*(kernel+1)*(kernel+1))");
  op.ScratchBytes("groups*(kernel*kernel*((C/groups+31)/32*4)+4)+131072");
  op.Costs("N*O*kernel*kernel*(C/groups)", "0", "N*O");
  op.MakeWith<BinaryConv>();
}

}  // namespace bitvit

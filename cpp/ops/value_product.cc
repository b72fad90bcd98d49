// value_planes, value_product.
#include "ops/registry.h"

namespace bitvit {
namespace {

constexpr size_t kExtremesGrain = 16384;
constexpr size_t kChannelGrain = 16;
constexpr size_t kRowGrain = 8;  // kernels work on several rows at a time

class ValuePlanes final : public Operator {
 public:
  explicit ValuePlanes(SpecReader& reader) : kernels_(reader.kernels().value_product) {
    has_statistics_ = reader.InputCount(1, 2) == 2;
    const Shape& shape = reader.Input(0, {ValueType::kF32}, 2);
    if (has_statistics_) {
      reader.Require(reader.Input(1, {ValueType::kF32}, 1) == Shape{2}, "the statistics must have shape [2]");
    }
    for (const Attribute& factor : reader.List("factors", 0, kMaxPlanes - 1)) {
      factors_.push_back(reader.ToFloat(factor, "a factor"));
    }
    n_keys_ = shape[0];
    n_channels_ = shape[1];
    const Shape declared = reader.spec().outputs.empty() ? Shape{} : reader.spec().outputs[0].shape;
    const size_t n_heads = declared.size() == 4 ? declared[1] : 1;
    reader.Require(n_channels_ % n_heads == 0, std::to_string(n_channels_) + " channels cannot be split into " +
                                                   std::to_string(n_heads) + " heads");
    reader.Writes({{ValueType::kTernary, {factors_.size() + 1, n_heads, n_channels_ / n_heads, n_keys_}}});
  }

  size_t shared_scratch_bytes() const override { return 2 * ExtremeParts() * sizeof(float); }

  void Run(const RunContext& context) const override {
    const float* const v = context.input<float>(0);
    const float offset = has_statistics_ ? context.input<float>(1)[0] : 0.0f;
    float high[kMaxPlanes] = {}, low[kMaxPlanes] = {};
    if (!factors_.empty()) {
      float* const largest = context.shared_scratch<float>();
      float* const smallest = largest + ExtremeParts();
      context.Parallel(n_keys_ * n_channels_, kExtremesGrain, [&](size_t begin, size_t end, size_t) {
        for (size_t i = begin; i < end; i += kExtremesGrain) {
          const size_t n = end - i < kExtremesGrain ? end - i : kExtremesGrain;
          kernels_.extremes(v + i, offset, n, largest + i / kExtremesGrain, smallest + i / kExtremesGrain);
        }
      });
      for (size_t i = 1; i < ExtremeParts(); ++i) {
        if (largest[i] > largest[0]) largest[0] = largest[i];
        if (smallest[i] < smallest[0]) smallest[0] = smallest[i];
      }
      for (size_t i = 0; i < factors_.size(); ++i) {
        high[i] = factors_[i] * largest[0];
        low[i] = factors_[i] * smallest[0];
      }
    }
    context.Parallel(n_channels_, kChannelGrain, [&](size_t begin, size_t end, size_t) {
      kernels_.planes(v, offset, high, low, factors_.size() + 1, n_keys_, n_channels_, begin, end,
                      context.output<uint64_t>(0));
    });
  }

 private:
  size_t ExtremeParts() const { return (n_keys_ * n_channels_ + kExtremesGrain - 1) / kExtremesGrain; }

  const ValueProductKernels& kernels_;
  bool has_statistics_;
  std::vector<float> factors_;
  size_t n_keys_, n_channels_;
};

class ValueProduct final : public Operator {
 public:
  explicit ValueProduct(SpecReader& reader) {
    reader.InputCount(2, 2);
    const Shape& masks = reader.Input(0, {ValueType::kMask}, 4);
    const Shape& planes = reader.Input(1, {ValueType::kTernary}, 4);
    reader.Require(masks[1] == planes[1] && masks[3] == planes[3], "masks and planes differ in heads or keys");
    reader.Require(masks[0] <= kMaxPlanes && planes[0] <= kMaxPlanes,
                   "more than " + std::to_string(kMaxPlanes) + " planes");
    shape_ = {masks[0], planes[0], masks[1], masks[2], planes[2], masks[3], reader.spec().is_from_value_planes[1]};
    row_scale_ = reader.Floats("row_scale", {{masks[0], masks[1]}});
    column_scale_ = reader.Floats("column_scale", {{planes[0]}});
    reader.Writes({{ValueType::kF32, {masks[2], masks[1] * planes[2]}}});
    const bool fits = shape_.n_keys <= kValueProductMaxKeys;
    kernels_ = fits ? &reader.kernels().value_product : &reader.spec().portable_kernels->value_product;
    head_bytes_ = AlignUp(kernels_->packed_bytes(shape_));
  }

  size_t shared_scratch_bytes() const override { return shape_.n_heads * head_bytes_; }
  size_t thread_scratch_bytes(size_t) const override { return kernels_->scratch_bytes(shape_); }

  void Run(const RunContext& context) const override {
    std::byte* const packed = context.shared_scratch<std::byte>();
    context.Parallel(shape_.n_heads, 1, [&](size_t begin, size_t end, size_t) {
      for (size_t h = begin; h < end; ++h) {
        kernels_->pack(context.input<uint64_t>(1), shape_, h, packed + h * head_bytes_);
      }
    });
    context.Parallel(shape_.n_heads * shape_.n_queries, kRowGrain, [&](size_t begin, size_t end, size_t thread) {
      while (begin < end) {
        const size_t head = begin / shape_.n_queries, first = begin % shape_.n_queries;
        const size_t left = end - begin, of_head = shape_.n_queries - first;
        const size_t n_rows = left < of_head ? left : of_head;
        kernels_->product(context.input<uint64_t>(0), packed + head * head_bytes_, shape_, row_scale_.as<float>(),
                          column_scale_.as<float>(), head, first, n_rows, context.output<float>(0),
                          context.thread_scratch(thread));
        begin += n_rows;
      }
    });
  }

 private:
  ValueShape shape_;
  const ValueProductKernels* kernels_;
  size_t head_bytes_;
  AlignedBuffer row_scale_, column_scale_;
};

}  // namespace

std::unique_ptr<Operator> MakeValuePlanes(SpecReader& reader) { return std::make_unique<ValuePlanes>(reader); }
std::unique_ptr<Operator> MakeValueProduct(SpecReader& reader) { return std::make_unique<ValueProduct>(reader); }

}  // namespace bitvit

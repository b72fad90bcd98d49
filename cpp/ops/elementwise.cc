// constant, concat_rows, slice_rows, add, add_constant, affine, mean_rows, gelu, rprelu, layer_norm, scale_by.
#include <cstring>

#include "ops/registry.h"

namespace bitvit {
namespace {

constexpr size_t kRowGrain = 8;
constexpr size_t kFlatGrain = 4096;

class Constant final : public Operator {
 public:
  explicit Constant(AlignedBuffer value, size_t size_bytes) : value_(std::move(value)), size_bytes_(size_bytes) {}
  void Run(const RunContext& context) const override {
    std::memcpy(context.output<std::byte>(0), value_.data(), size_bytes_);
  }

 private:
  AlignedBuffer value_;
  size_t size_bytes_;
};

// Copies a part of each input, one behind the other.
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

// One row kernel with up to three parameters of a row's width.
class RowOperator final : public Operator {
 public:
  using Apply = void (*)(const RowsKernels& kernels, const RowOperator& self, const float* x, float* y, size_t n_rows,
                         size_t width);
  RowOperator(const SpecReader& reader, Apply apply)
      : kernels_(reader.kernels().rows),
        apply_(apply),
        n_rows_(reader.spec().inputs[0].shape[0]),
        width_(reader.spec().inputs[0].shape[1]) {}

  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    float* const y = context.output<float>(0);
    context.Parallel(n_rows_, kRowGrain, [&](size_t begin, size_t end, size_t) {
      apply_(kernels_, *this, x + begin * width_, y + begin * width_, end - begin, width_);
    });
  }

  bool IsPointwise(PointwiseLink* link) const override {
    if (!has_kind || width_ % kPointwiseBlock != 0) return false;
    link->kind = kind;
    for (size_t i = 0; i < 3; ++i) link->parameters[i] = parameter(i);
    return true;
  }

  const float* parameter(size_t i) const { return parameters[i].as<float>(); }
  AlignedBuffer parameters[3];
  float eps = 0;
  bool has_kind = false;
  PointwiseKind kind = PointwiseKind::kAffine;

 private:
  const RowsKernels& kernels_;
  Apply apply_;
  size_t n_rows_, width_;
};

// y = f(a) or f(a, b) over all elements.
class FlatOperator final : public Operator {
 public:
  using Apply = void (*)(const RowsKernels& kernels, const float* a, const float* b, float* y, size_t n);
  FlatOperator(const SpecReader& reader, Apply apply, AlignedBuffer constant = {})
      : kernels_(reader.kernels().rows),
        apply_(apply),
        n_inputs_(reader.spec().inputs.size()),
        n_elements_(reader.spec().inputs[0].n_elements()),
        width_(reader.spec().inputs[0].width()),
        constant_(std::move(constant)) {}

  void Run(const RunContext& context) const override {
    const float* const a = context.input<float>(0);
    const float* const b = n_inputs_ == 2 ? context.input<float>(1) : constant_.as<float>();
    float* const y = context.output<float>(0);
    context.Parallel(n_elements_, kFlatGrain, [&](size_t begin, size_t end, size_t) {
      apply_(kernels_, a + begin, b == nullptr ? nullptr : b + begin, y + begin, end - begin);
    });
  }

  bool IsPointwise(PointwiseLink* link) const override {
    if (!is_sum || width_ % kPointwiseBlock != 0) return false;
    link->kind = PointwiseKind::kAdd;
    link->other = constant_.as<float>();
    link->other_width = width_;
    return true;
  }

  bool is_sum = false;

 private:
  const RowsKernels& kernels_;
  Apply apply_;
  size_t n_inputs_, n_elements_, width_;
  AlignedBuffer constant_;
};

class MeanRows final : public Operator {
 public:
  explicit MeanRows(const SpecReader& reader)
      : kernels_(reader.kernels().rows),
        n_rows_(reader.spec().inputs[0].shape[0]),
        width_(reader.spec().inputs[0].shape[1]) {}
  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    float* const y = context.output<float>(0);
    context.Parallel(width_, 16,
                     [&](size_t begin, size_t end, size_t) { kernels_.mean_rows(x, y, n_rows_, width_, begin, end); });
  }

 private:
  const RowsKernels& kernels_;
  size_t n_rows_, width_;
};

class ScaleBy final : public Operator {
 public:
  ScaleBy(const SpecReader& reader, size_t index)
      : kernels_(reader.kernels().rows), index_(index), n_elements_(reader.spec().inputs[0].n_elements()) {}
  void Run(const RunContext& context) const override {
    const float* const x = context.input<float>(0);
    const float factor = context.input<float>(1)[index_];
    float* const y = context.output<float>(0);
    context.Parallel(n_elements_, kFlatGrain, [&](size_t begin, size_t end, size_t) {
      kernels_.scale(x + begin, factor, y + begin, end - begin);
    });
  }

 private:
  const RowsKernels& kernels_;
  size_t index_, n_elements_;
};

void Sum(const RowsKernels& kernels, const float* a, const float* b, float* y, size_t n) { kernels.add(a, b, y, n); }

// One input [N, C] of floats, and an output like it. Returns [C].
Shape CheckRows(const SpecReader& reader) {
  reader.InputCount(1, 1);
  const Shape& shape = reader.Input(0, {ValueType::kF32}, 2);
  reader.Writes({{ValueType::kF32, shape}});
  return {shape[1]};
}

}  // namespace

std::unique_ptr<Operator> MakeConstant(SpecReader& reader) {
  reader.InputCount(0, 0);
  reader.Require(reader.spec().outputs.size() == 1 && reader.spec().outputs[0].type == ValueType::kF32,
                 "expected one output of type f32");
  const Value& out = reader.spec().outputs[0];
  return std::make_unique<Constant>(reader.Floats("value", {out.shape}), out.size_bytes());
}

std::unique_ptr<Operator> MakeConcatRows(SpecReader& reader) {
  const size_t count = reader.InputCount(1, kMaxDimension);
  std::vector<CopyRows::Part> parts;
  Shape out = reader.Input(0, {ValueType::kF32}, 2);
  out[0] = 0;
  for (size_t i = 0; i < count; ++i) {
    const Shape& shape = reader.Input(i, {ValueType::kF32}, 2);
    reader.Require(shape[1] == out[1], "inputs have different numbers of channels");
    out[0] += shape[0];
    parts.push_back({0, shape[0] * shape[1] * sizeof(float)});
  }
  reader.Writes({{ValueType::kF32, out}});
  return std::make_unique<CopyRows>(std::move(parts));
}

std::unique_ptr<Operator> MakeSliceRows(SpecReader& reader) {
  reader.InputCount(1, 1);
  Shape shape = reader.Input(0, {ValueType::kF32, ValueType::kSign, ValueType::kMask});
  const Value& in = reader.spec().inputs[0];
  reader.Require(shape.size() == 2 || (shape.size() == 3 && in.is_bits()), "expected rows, not " + in.ToString());
  const size_t stop = reader.Integer("stop", 1, shape[0]);
  const size_t start = reader.Integer("start", 0, stop - 1);
  const size_t row_bytes = in.size_bytes() / shape[0];
  shape[0] = stop - start;
  reader.Writes({{in.type, shape}});
  return std::make_unique<CopyRows>(std::vector<CopyRows::Part>{{start * row_bytes, (stop - start) * row_bytes}});
}

std::unique_ptr<Operator> MakeAdd(SpecReader& reader) {
  reader.InputCount(2, 2);
  const Shape& shape = reader.Input(0, {ValueType::kF32});
  reader.Require(shape == reader.Input(1, {ValueType::kF32}), "the inputs have different shapes");
  reader.Writes({{ValueType::kF32, shape}});
  auto op = std::make_unique<FlatOperator>(reader, Sum);
  op->is_sum = shape.size() == 2;
  return op;
}

std::unique_ptr<Operator> MakeAddConstant(SpecReader& reader) {
  const Shape channels = CheckRows(reader);
  const Shape& shape = reader.spec().inputs[0].shape;
  AlignedBuffer value = reader.Floats("value", {shape, channels});
  if (reader.spec().tensors.at("value").shape == shape) {
    auto op = std::make_unique<FlatOperator>(reader, Sum, std::move(value));
    op->is_sum = true;
    return op;
  }
  auto op = std::make_unique<RowOperator>(
      reader, [](const RowsKernels& kernels, const RowOperator& self, const float* x, float* y, size_t n_rows,
                 size_t width) { kernels.add_row(x, self.parameter(0), y, n_rows, width); });
  op->parameters[0] = std::move(value);
  op->has_kind = true;
  op->kind = PointwiseKind::kAddRow;
  return op;
}

std::unique_ptr<Operator> MakeAffine(SpecReader& reader) {
  const Shape channels = CheckRows(reader);
  auto op = std::make_unique<RowOperator>(
      reader, [](const RowsKernels& kernels, const RowOperator& self, const float* x, float* y, size_t n_rows,
                 size_t width) { kernels.affine(x, self.parameter(0), self.parameter(1), y, n_rows, width); });
  op->has_kind = true;
  op->kind = PointwiseKind::kAffine;
  op->parameters[0] = reader.Floats("scale", {channels});
  op->parameters[1] = reader.Floats("bias", {channels});
  return op;
}

std::unique_ptr<Operator> MakeMeanRows(SpecReader& reader) {
  reader.InputCount(1, 1);
  reader.Writes({{ValueType::kF32, {1, reader.Input(0, {ValueType::kF32}, 2)[1]}}});
  return std::make_unique<MeanRows>(reader);
}

std::unique_ptr<Operator> MakeGelu(SpecReader& reader) {
  reader.InputCount(1, 1);
  reader.Writes({{ValueType::kF32, reader.Input(0, {ValueType::kF32})}});
  return std::make_unique<FlatOperator>(reader, [](const RowsKernels& kernels, const float* a, const float*, float* y,
                                                   size_t n) { kernels.gelu(a, y, n); });
}

std::unique_ptr<Operator> MakeRprelu(SpecReader& reader) {
  const Shape channels = CheckRows(reader);
  auto op = std::make_unique<RowOperator>(reader, [](const RowsKernels& kernels, const RowOperator& self,
                                                     const float* x, float* y, size_t n_rows, size_t width) {
    kernels.rprelu(x, self.parameter(0), self.parameter(1), self.parameter(2), y, n_rows, width);
  });
  op->has_kind = true;
  op->kind = PointwiseKind::kRprelu;
  op->parameters[0] = reader.Floats("before", {channels});
  op->parameters[1] = reader.Floats("slope", {channels});
  op->parameters[2] = reader.Floats("after", {channels});
  return op;
}

std::unique_ptr<Operator> MakeLayerNorm(SpecReader& reader) {
  const Shape channels = CheckRows(reader);
  auto op = std::make_unique<RowOperator>(reader, [](const RowsKernels& kernels, const RowOperator& self,
                                                     const float* x, float* y, size_t n_rows, size_t width) {
    kernels.layer_norm(x, self.parameter(0), self.parameter(1), self.eps, y, n_rows, width);
  });
  op->eps = reader.PositiveNumber("eps");
  op->parameters[0] = reader.Floats("weight", {channels});
  op->parameters[1] = reader.Floats("bias", {channels});
  return op;
}

std::unique_ptr<Operator> MakeScaleBy(SpecReader& reader) {
  reader.InputCount(2, 2);
  const Shape& shape = reader.Input(0, {ValueType::kF32}, 2);
  const size_t count = reader.Input(1, {ValueType::kF32}, 1)[0];
  reader.Writes({{ValueType::kF32, shape}});
  return std::make_unique<ScaleBy>(reader, reader.Integer("index", 0, count - 1));
}

}  // namespace bitvit

#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

constexpr size_t kExtremesGrain = 16384;
constexpr size_t kChannelGrain = 16;

Result<std::vector<float>> ReadFactors(const Operands& operands) {
  std::vector<float> factors;
  for (const Attribute& entry : operands.List("factors")) {
    BITVIT_ASSIGN(const float factor, operands.ToFloat(entry, "a factor"));
    factors.push_back(factor);
  }
  return factors;
}

class ValuePlanes final : public Operator {
 public:
  explicit ValuePlanes(const Operands& operands)
      : kernels_(operands.kernels().value_product),
        has_statistics_(operands.n_inputs() == 2),
        factors_(*ReadFactors(operands)),
        n_keys_(operands.Size("M")),
        n_channels_(operands.Size("C")),
        head_dim_(operands.Size("D")) {
    if (!operands.Has("thresholds")) return;
    // high and low of each head side by side, as the kernel takes them.
    const AlignedBuffer buffer = operands.Floats("thresholds");
    const float* const thresholds = buffer.as<float>();
    const size_t n_heads = n_channels_ / head_dim_;
    limits_.resize(2 * factors_.size() * n_heads);
    for (size_t h = 0; h < n_heads; ++h) {
      for (size_t i = 0; i < factors_.size(); ++i) {
        const float limit = factors_[i] * thresholds[i * n_heads + h];
        limits_[2 * h * factors_.size() + i] = limit;
        limits_[(2 * h + 1) * factors_.size() + i] = -limit;
      }
    }
  }

  size_t shared_scratch_bytes() const override { return limits_.empty() ? 2 * ExtremeParts() * sizeof(float) : 0; }

  void Run(const RunContext& context) const override {
    const float* const v = context.input<float>(0);
    const float offset = has_statistics_ ? context.input<float>(1)[0] : 0.0f;
    if (!limits_.empty()) {
      context.Parallel(n_channels_, kChannelGrain, [&](size_t begin, size_t end, size_t) {
        while (begin < end) {
          const size_t head = begin / head_dim_, border = (head + 1) * head_dim_;
          const size_t stop = border < end ? border : end;
          const float* const high = limits_.data() + 2 * head * factors_.size();
          kernels_.planes(v, offset, high, high + factors_.size(), factors_.size() + 1, n_keys_, n_channels_, begin,
                          stop, context.output<uint64_t>(0));
          begin = stop;
        }
      });
      return;
    }
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
  std::vector<float> limits_;  // [H][high, low][factors], of fixed thresholds
  size_t n_keys_, n_channels_, head_dim_;
};

}  // namespace

BITVIT_OPERATOR(value_planes) {
  static_assert(kMaxPlanes == 8);
  op.Input("v", "f32 [M,C]").Input("statistics", "f32 [2]", Presence::kOptional).List("factors", "0", "7");
  op.Output("planes", "ternary [factors+1,H,D,M]").Equal("H*D", "C").GivesDensePlane();
  op.Parameter("thresholds", "f32 [factors,H]", Presence::kOptional);
  op.FloatOperations("M*C*(1+2*factors)");
  op.check_attributes = [](Operands& operands) -> Status {
    BITVIT_TRY(ReadFactors(operands));
    return {};
  };
  op.MakeWith<ValuePlanes>();
}

}  // namespace bitvit

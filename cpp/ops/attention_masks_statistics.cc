#include "ops/attention_scores.h"
#include "ops/operands.h"
#include "ops/operator.h"
#include "ops/sum_in_order.h"

namespace bitvit {

namespace {

class AttentionMasksStatistics final : public Operator {
 public:
  explicit AttentionMasksStatistics(const Operands& operands)
      : scores_(operands),
        kernels_(operands.kernels().rows),
        phase_(operands.Size("phase")),
        patches_(operands.Size("patches")),
        n_rows_(scores_.n_heads() * scores_.n_queries()) {}

  size_t shared_scratch_bytes() const override {
    return scores_.packed_bytes() + AlignUp(n_rows_ * n_keys() * sizeof(float)) + 2 * n_rows_ * sizeof(float);
  }
  size_t thread_scratch_bytes(size_t) const override {
    return AlignUp(scores_.kernels().scratch_bytes(scores_.shape())) + (n_keys() + 16) * sizeof(float);
  }

  void Run(const RunContext& context) const override {
    scores_.PackKeys(context);
    float* const a = reinterpret_cast<float*>(context.shared_scratch<std::byte>() + scores_.packed_bytes());
    float* const sums = a + AlignUp(n_rows_ * n_keys() * sizeof(float)) / sizeof(float);
    scores_.ForRows(context, [&](size_t head, size_t first, size_t n_rows, size_t thread) {
      const size_t begin = head * scores_.n_queries();
      scores_.kernels().weights(scores_.queries(context, head), scores_.query_stride(),
                                scores_.packed_keys(context.shared_scratch<std::byte>(), head), scores_.shape(),
                                scores_.table(), first, n_rows, a + begin * n_keys(), context.thread_scratch(thread));
      kernels_.sums(a + (begin + first) * n_keys(), sums + begin + first, sums + n_rows_ + begin + first, n_rows,
                    n_keys());
    });
    float gamma = SumInOrder(sums, n_rows_) / static_cast<float>(n_rows_ * n_keys());
    if (phase_ == 2) gamma = LargeMean(context, a, sums, gamma);
    context.output<float>(1)[0] = gamma;
    context.Parallel(n_rows_, 8, [&](size_t begin, size_t end, size_t) {
      kernels_.greater_shifted(a + begin * n_keys(), 0.0f, 0.5f * gamma,
                               context.output<uint64_t>(0) + begin * BitWords(n_keys()), end - begin, n_keys());
    });
  }

 private:
  size_t n_keys() const { return scores_.shape().n_keys; }

  // The mean of the elements above 0.5, unless too few elements exceed half of it.
  float LargeMean(const RunContext& context, const float* a, float* sums, float otherwise) const {
    float* const large = reinterpret_cast<float*>(static_cast<std::byte*>(context.thread_scratch(0)) +
                                                  AlignUp(scores_.kernels().scratch_bytes(scores_.shape())));
    size_t count = 0;
    for (size_t r = 0; r < n_rows_; ++r) {
      for (size_t m = 0; m < n_keys(); ++m) {
        const float x = a[r * n_keys() + m];
        count += x > 0.5f ? 1 : 0;
        large[m] = x > 0.5f ? x : 0.0f;
      }
      float unused;
      kernels_.sums(large, sums + r, &unused, 1, n_keys());
    }
    if (count == 0) return otherwise;
    const float gamma = SumInOrder(sums, n_rows_) / static_cast<float>(count);
    size_t n_ones = 0;
    for (size_t i = 0; i < n_rows_ * n_keys(); ++i) n_ones += a[i] > 0.5f * gamma ? 1 : 0;
    return n_ones < patches_ ? otherwise : gamma;
  }

  AttentionScores scores_;
  const RowsKernels& kernels_;
  size_t phase_, patches_, n_rows_;
};

}  // namespace

BITVIT_OPERATOR(attention_masks_statistics) {
  AttentionScores::Declare(op);
  op.Integer("phase", "1", "2").Integer("patches", "0", "16777216");
  op.Output("masks", "mask [1,H,N,M]").Output("gamma", "f32 [1]");
  op.ScratchBytes("4*H*N*(M+2)+H*((M+64)*((D+63)/64)*16+64+16*N)+128*(M+64)");
  op.Costs("H*N*M*D", "0", "5*H*N*M");
  op.check = AttentionScores::CheckTable;
  op.MakeWith<AttentionMasksStatistics>();
}

}  // namespace bitvit

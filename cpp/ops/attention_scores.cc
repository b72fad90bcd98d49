#include "ops/attention_scores.h"

namespace bitvit {

void AttentionScores::Declare(OperatorDeclaration& op) {
  static_assert(kBinaryGemmMaxInputs == 32767);
  op.Input("q", "sign [N,H,D]").Input("k", "sign [M,H,D]").Parameter("table", "f32 [D+1]").AtMost("D", "32767");
}

Status AttentionScores::CheckTable(Operands& operands) {
  const float* const table = operands.Parameter("table").as<float>();
  bool is_valid = table[0] == 1;
  for (size_t i = 0; i <= operands.Size("D"); ++i) is_valid = is_valid && table[i] >= 0;
  if (is_valid) return {};
  return operands.Fail(ErrorCode::kTensorContent, "parameter 'table' must start with 1 and hold no negative value");
}

AttentionScores::AttentionScores(const Operands& operands)
    : kernels_(operands.kernels().attention_masks),
      n_heads_(operands.Size("H")),
      n_queries_(operands.Size("N")),
      shape_{operands.Size("M"), operands.Size("D")},
      table_(operands.Floats("table")) {
  head_bytes_ = AlignUp(kernels_.packed_bytes(shape_));
}

void AttentionScores::PackKeys(const RunContext& context) const {
  context.Parallel(n_heads_, 1, [&](size_t begin, size_t end, size_t) {
    for (size_t h = begin; h < end; ++h) {
      kernels_.pack_keys(context.input<uint64_t>(1) + h * BitWords(shape_.head_dim), query_stride(), shape_,
                         context.shared_scratch<std::byte>() + h * head_bytes_);
    }
  });
}

}  // namespace bitvit

#include <cstring>

#include "base/text.h"
#include "ops/attention_scores.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

namespace {

// How the bits of a plane are found.
struct Rule {
  PlaneRule rule;
  float factor;
  bool of_image;  // kGreater with the limit factor * maximum over the image

  bool needs_threshold() const { return (rule == PlaneRule::kGreater && !of_image) || rule == PlaneRule::kAtLeast; }
};

Result<std::vector<Rule>> ReadRules(const Operands& operands) {
  std::vector<Rule> rules;
  for (const Attribute& entry : operands.List("planes")) {
    const auto* list = std::get_if<AttributeList>(&entry.value);
    const std::string* name = nullptr;
    if (list != nullptr && !list->empty()) name = std::get_if<std::string>(&(*list)[0].value);
    if (name == nullptr) {
      return operands.Fail(ErrorCode::kOperatorAttribute, "attribute 'planes' must be a list of rules");
    }
    if ((*name == "row_max" || *name == "image_max") && list->size() == 2) {
      BITVIT_ASSIGN(const float factor, operands.ToFloat((*list)[1], "the factor of a '" + *name + "' rule"));
      const bool of_image = *name == "image_max";
      rules.push_back({of_image ? PlaneRule::kGreater : PlaneRule::kRowMax, factor, of_image});
    } else if (*name == "greater" && list->size() == 1) {
      rules.push_back({PlaneRule::kGreater, 0, false});
    } else if (*name == "at_least" && list->size() == 1) {
      rules.push_back({PlaneRule::kAtLeast, 0, false});
    } else if (*name == "ones" && list->size() == 1) {
      rules.push_back({PlaneRule::kOnes, 0, false});
    } else {
      return operands.Fail(ErrorCode::kOperatorAttribute, "attribute 'planes' has an unknown rule " + Quoted(*name));
    }
  }
  return rules;
}

Status CheckRules(Operands& operands) {
  BITVIT_ASSIGN(const std::vector<Rule> rules, ReadRules(operands));
  bool needs_thresholds = false;
  for (const Rule& rule : rules) needs_thresholds = needs_thresholds || rule.needs_threshold();
  if (needs_thresholds == operands.Has("thresholds")) return {};
  return operands.Fail(ErrorCode::kOperatorParameter,
                       needs_thresholds ? "parameter 'thresholds' is missing"
                                        : "parameter 'thresholds' is given, but no rule of 'planes' needs it");
}

Status CheckContent(Operands& operands) {
  BITVIT_TRY(AttentionScores::CheckTable(operands));
  const bool needs_scale = operands.Has("offset") && operands.Parameter("offset").type == DataType::kI8;
  if (needs_scale != operands.Has("offset_scale")) {
    return operands.Fail(ErrorCode::kOperatorParameter,
                         needs_scale ? "parameter 'offset_scale' is missing"
                                     : "parameter 'offset_scale' is given without an 'offset' of type i8");
  }
  return {};
}

class AttentionMasks final : public Operator {
 public:
  explicit AttentionMasks(const Operands& operands) : scores_(operands), rules_(*ReadRules(operands)) {
    for (const Rule& rule : rules_) has_image_max_ = has_image_max_ || rule.of_image;
    if (operands.Has("thresholds")) thresholds_ = operands.Floats("thresholds");
    if (!operands.Has("offset")) return;
    const Tensor& offset = operands.Parameter("offset");
    if (offset.type == DataType::kI8) {
      byte_offset_ = operands.Layout("offset", [&] {
        AlignedBuffer copy(offset.n_elements() + 16);
        std::memcpy(copy.data(), offset.data, offset.n_elements());
        return copy;
      });
      offset_scale_ = operands.Floats("offset_scale");
      has_byte_offset_ = true;
    } else {
      offset_ = operands.Floats("offset");
      has_row_offset_ = offset.shape.size() == 2;
      has_full_offset_ = !has_row_offset_;
    }
  }

  size_t shared_scratch_bytes() const override { return scores_.packed_bytes() + n_maxima() * sizeof(float); }
  size_t thread_scratch_bytes(size_t) const override { return scores_.kernels().scratch_bytes(scores_.shape()); }

  void Run(const RunContext& context) const override {
    scores_.PackKeys(context);
    const float image_maximum = has_image_max_ ? ImageMaximum(context) : 0.0f;
    scores_.ForRows(context, [&](size_t head, size_t first, size_t n_rows, size_t thread) {
      const size_t plane_words = scores_.n_queries() * BitWords(scores_.shape().n_keys);
      uint64_t* planes[kMaxPlanes];
      for (size_t i = 0; i < rules_.size(); ++i) {
        planes[i] = context.output<uint64_t>(0) + (i * scores_.n_heads() + head) * plane_words;
      }
      scores_.kernels().masks(scores_.queries(context, head), scores_.query_stride(),
                              scores_.packed_keys(context.shared_scratch<std::byte>(), head), scores_.shape(),
                              Head(head, image_maximum), first, n_rows, planes, context.thread_scratch(thread));
    });
  }

 private:
  size_t n_maxima() const { return has_image_max_ ? scores_.n_heads() * scores_.n_queries() : 0; }

  // Maximum of a_t over all heads and rows. Each row's goes to its own place, however the rows are cut.
  float ImageMaximum(const RunContext& context) const {
    std::byte* const shared = context.shared_scratch<std::byte>();
    float* const maxima = reinterpret_cast<float*>(shared + scores_.packed_bytes());
    scores_.ForRows(context, [&](size_t head, size_t first, size_t n_rows, size_t thread) {
      for (size_t n = first; n < first + n_rows; ++n) {
        maxima[head * scores_.n_queries() + n] = scores_.kernels().maximum(
            scores_.queries(context, head), scores_.query_stride(), scores_.packed_keys(shared, head), scores_.shape(),
            Head(head, 0.0f), n, 1, context.thread_scratch(thread));
      }
    });
    float largest = maxima[0];
    for (size_t i = 1; i < n_maxima(); ++i) largest = maxima[i] > largest ? maxima[i] : largest;
    return largest;
  }

  AttentionHead Head(size_t head, float image_maximum) const {
    const size_t n = scores_.n_queries(), m = scores_.shape().n_keys;
    AttentionHead result{};
    result.table = scores_.table();
    if (has_row_offset_) result.row_offset = offset_.as<float>() + head * n;
    if (has_full_offset_) result.full_offset = offset_.as<float>() + head * n * m;
    if (has_byte_offset_) {
      result.byte_offset = byte_offset_.as<int8_t>() + head * n * m;
      result.byte_offset_scale = offset_scale_.as<float>()[head];
    }
    result.n_planes = rules_.size();
    for (size_t i = 0; i < rules_.size(); ++i) {
      result.rules[i] = rules_[i].rule;
      const bool has_threshold = rules_[i].rule == PlaneRule::kGreater || rules_[i].rule == PlaneRule::kAtLeast;
      result.limits[i] = rules_[i].factor;
      if (rules_[i].of_image) {
        result.limits[i] = rules_[i].factor * image_maximum;
      } else if (has_threshold) {
        result.limits[i] = thresholds_.as<float>()[i * scores_.n_heads() + head];
      }
    }
    return result;
  }

  AttentionScores scores_;
  std::vector<Rule> rules_;
  AlignedBuffer thresholds_, offset_, byte_offset_, offset_scale_;
  bool has_row_offset_ = false, has_full_offset_ = false, has_byte_offset_ = false;
  bool has_image_max_ = false;
};

}  // namespace

BITVIT_OPERATOR(attention_masks) {
  static_assert(kMaxPlanes == 8);
  AttentionScores::Declare(op);
  op.List("planes", "1", "8").Output("masks", "mask [planes,H,N,M]").RowWiseUnless("planes", "image_max");
  op.Parameter("thresholds", "f32 [planes,H]", Presence::kOptional);
  op.Parameter("offset", "i8 [H,N,M] | f32 [H,N] | f32 [H,N,M]", Presence::kOptional);
  op.Parameter("offset_scale", "f32 [H]", Presence::kOptional);
  // Look-up, sum and normalization of the softmax; the offset; a row maximum and the comparisons.
  op.ScratchBytes("H*((M+64)*((D+63)/64)*16+64+16*N)+128*(M+64)");
  op.Costs("H*N*M*D", "0", "H*N*M*(4+offset+planes)");
  op.check_attributes = CheckRules;
  op.check = CheckContent;
  op.MakeWith<AttentionMasks>();
}

}  // namespace bitvit

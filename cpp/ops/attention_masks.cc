// attention_masks.
#include "ops/attention_scores.h"

namespace bitvit {

AttentionScores::AttentionScores(SpecReader& reader) : kernels_(reader.kernels().attention_masks) {
  reader.InputCount(2, 2);
  const Shape& q = reader.Input(0, {ValueType::kSign}, 3);
  const Shape& k = reader.Input(1, {ValueType::kSign}, 3);
  reader.Require(q[1] == k[1] && q[2] == k[2], "queries and keys differ in heads or head width");
  reader.Require(q[2] <= kBinaryGemmMaxInputs, "head width " + std::to_string(q[2]) + ", at most " +
                                                   std::to_string(kBinaryGemmMaxInputs) + " is allowed");
  n_queries_ = q[0];
  n_heads_ = q[1];
  shape_ = {k[0], q[2]};
  table_ = reader.Floats("table", {{q[2] + 1}});
  bool is_valid = table()[0] == 1;
  for (size_t i = 0; i <= q[2]; ++i) is_valid = is_valid && table()[i] >= 0;
  reader.RequireContent(is_valid, "parameter 'table' must start with 1 and hold no negative value");
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

namespace {

class AttentionMasks final : public Operator {
 public:
  explicit AttentionMasks(SpecReader& reader) : scores_(reader) {
    const size_t n_heads = scores_.n_heads(), n = scores_.n_queries(), m = scores_.shape().n_keys;
    ReadRules(reader);
    if (reader.Has("offset")) {
      if (reader.TypeOf("offset") == DataType::kI8) {
        const Tensor& tensor = reader.Parameter("offset", DataType::kI8, {{n_heads, n, m}});
        byte_offset_ = AlignedBuffer(tensor.n_elements() + 16);
        __builtin_memcpy(byte_offset_.data(), tensor.data, tensor.n_elements());
        offset_scale_ = reader.Floats("offset_scale", {{n_heads}});
        has_byte_offset_ = true;
      } else {
        offset_ = reader.Floats("offset", {{n_heads, n}, {n_heads, n, m}});
        has_row_offset_ = reader.spec().tensors.at("offset").shape.size() == 2;
        has_full_offset_ = !has_row_offset_;
      }
    }
    reader.Writes({{ValueType::kMask, {rules_.size(), n_heads, n, m}}});
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
  struct Rule {
    PlaneRule rule;
    float factor;
    bool of_image = false;  // kGreater with the limit factor * maximum over the image
  };

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

  void ReadRules(SpecReader& reader) {
    bool needs_thresholds = false;
    for (const Attribute& entry : reader.List("planes", 1, kMaxPlanes)) {
      const auto* list = std::get_if<AttributeList>(&entry.value);
      const std::string* name = nullptr;
      if (list != nullptr && !list->empty()) name = std::get_if<std::string>(&(*list)[0].value);
      if (name == nullptr) reader.FailAttribute("attribute 'planes' must be a list of rules");
      if (*name == "row_max" && list->size() == 2) {
        rules_.push_back({PlaneRule::kRowMax, reader.ToFloat((*list)[1], "the factor of a 'row_max' rule"), false});
      } else if (*name == "image_max" && list->size() == 2) {
        const float factor = reader.ToFloat((*list)[1], "the factor of an 'image_max' rule");
        rules_.push_back({PlaneRule::kGreater, factor, true});
        has_image_max_ = true;
      } else if (*name == "greater" && list->size() == 1) {
        rules_.push_back({PlaneRule::kGreater, 0, false});
        needs_thresholds = true;
      } else if (*name == "at_least" && list->size() == 1) {
        rules_.push_back({PlaneRule::kAtLeast, 0, false});
        needs_thresholds = true;
      } else if (*name == "ones" && list->size() == 1) {
        rules_.push_back({PlaneRule::kOnes, 0, false});
      } else {
        reader.FailAttribute("attribute 'planes' has an unknown rule '" + name->substr(0, 80) + "'");
      }
    }
    if (needs_thresholds) thresholds_ = reader.Floats("thresholds", {{rules_.size(), scores_.n_heads()}});
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

std::unique_ptr<Operator> MakeAttentionMasks(SpecReader& reader) { return std::make_unique<AttentionMasks>(reader); }

}  // namespace bitvit

#include "ops/registry.h"

#include "base/error.h"

namespace bitvit {
namespace {

const std::map<std::string, OperatorFactory>& Factories() {
  static const std::map<std::string, OperatorFactory> factories = {
      {"image_to_float", MakeImageToFloat},
      {"patch_conv_u8", MakePatchConvU8},
      {"patch_conv_f32", MakePatchConvF32},
      {"linear_f32", MakeLinearF32},
      {"linear_i8", MakeLinearI8},
      {"constant", MakeConstant},
      {"concat_rows", MakeConcatRows},
      {"slice_rows", MakeSliceRows},
      {"add", MakeAdd},
      {"add_constant", MakeAddConstant},
      {"affine", MakeAffine},
      {"mean_rows", MakeMeanRows},
      {"gelu", MakeGelu},
      {"rprelu", MakeRprelu},
      {"layer_norm", MakeLayerNorm},
      {"sign", MakeSign},
      {"mask", MakeMask},
      {"layer_norm_sign", MakeLayerNormSign},
      {"binary_linear", MakeBinaryLinear},
      {"binary_linear_threshold", MakeBinaryLinearThreshold},
      {"attention_masks", MakeAttentionMasks},
      {"attention_masks_statistics", MakeAttentionMasksStatistics},
      {"value_planes", MakeValuePlanes},
      {"value_product", MakeValueProduct},
      {"statistics", MakeStatistics},
      {"sign_statistics", MakeSignStatistics},
      {"mask_statistics", MakeMaskStatistics},
      {"scale_by", MakeScaleBy},
      {"stencil", MakeStencil},
      {"pool", MakePool},
      {"upsample", MakeUpsample},
      {"merge_patches", MakeMergePatches},
      {"binary_conv", MakeBinaryConv},
      {"gather_rows", MakeGatherRows},
      {"repeat_channels", MakeRepeatChannels},
      {"mean_channels", MakeMeanChannels},
      {"reshape_rows", MakeReshapeRows},
      {"windows_to_heads", MakeWindowsToHeads},
      {"heads_to_windows", MakeHeadsToWindows},
      {"stencil", MakeStencil},
      {"pool", MakePool},
      {"upsample", MakeUpsample},
      {"merge_patches", MakeMergePatches},
      {"binary_conv", MakeBinaryConv},
      {"gather_rows", MakeGatherRows},
      {"repeat_channels", MakeRepeatChannels},
      {"mean_channels", MakeMeanChannels},
      {"reshape_rows", MakeReshapeRows},
      {"windows_to_heads", MakeWindowsToHeads},
      {"heads_to_windows", MakeHeadsToWindows},
  };
  return factories;
}

}  // namespace

bool IsKnownOperator(const std::string& kind) { return Factories().count(kind) != 0; }

std::unique_ptr<Operator> MakeOperator(const OperatorSpec& spec) {
  const auto found = Factories().find(spec.kind);
  if (found == Factories().end()) {
    throw UnknownOperatorError("operator " + std::to_string(spec.index) + ": unknown kind '" + spec.kind.substr(0, 80) +
                               "'; a newer bitvit may know it");
  }
  SpecReader reader(spec);
  std::unique_ptr<Operator> result = found->second(reader);
  reader.Finish();
  return result;
}

}  // namespace bitvit

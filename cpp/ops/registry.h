// Kinds of operators by name.
#pragma once

#include <memory>
#include <string>

#include "ops/operator.h"
#include "ops/spec.h"

namespace bitvit {

// Whether there is an operator of that kind.
bool IsKnownOperator(const std::string& kind);

// Checks the description and lays out the parameters. Throws a subclass of EngineError that names the violated rule.
std::unique_ptr<Operator> MakeOperator(const OperatorSpec& spec);

using OperatorFactory = std::unique_ptr<Operator> (*)(SpecReader& reader);

// One file each.
std::unique_ptr<Operator> MakeImageToFloat(SpecReader& reader);
std::unique_ptr<Operator> MakePatchConvU8(SpecReader& reader);
std::unique_ptr<Operator> MakePatchConvF32(SpecReader& reader);
std::unique_ptr<Operator> MakeLinearF32(SpecReader& reader);
std::unique_ptr<Operator> MakeLinearI8(SpecReader& reader);
std::unique_ptr<Operator> MakeConstant(SpecReader& reader);
std::unique_ptr<Operator> MakeConcatRows(SpecReader& reader);
std::unique_ptr<Operator> MakeSliceRows(SpecReader& reader);
std::unique_ptr<Operator> MakeAdd(SpecReader& reader);
std::unique_ptr<Operator> MakeAddConstant(SpecReader& reader);
std::unique_ptr<Operator> MakeAffine(SpecReader& reader);
std::unique_ptr<Operator> MakeMeanRows(SpecReader& reader);
std::unique_ptr<Operator> MakeGelu(SpecReader& reader);
std::unique_ptr<Operator> MakeRprelu(SpecReader& reader);
std::unique_ptr<Operator> MakeLayerNorm(SpecReader& reader);
std::unique_ptr<Operator> MakeSign(SpecReader& reader);
std::unique_ptr<Operator> MakeMask(SpecReader& reader);
std::unique_ptr<Operator> MakeLayerNormSign(SpecReader& reader);
std::unique_ptr<Operator> MakeBinaryLinear(SpecReader& reader);
std::unique_ptr<Operator> MakeBinaryLinearThreshold(SpecReader& reader);
std::unique_ptr<Operator> MakeAttentionMasks(SpecReader& reader);
std::unique_ptr<Operator> MakeAttentionMasksStatistics(SpecReader& reader);
std::unique_ptr<Operator> MakeValuePlanes(SpecReader& reader);
std::unique_ptr<Operator> MakeValueProduct(SpecReader& reader);
std::unique_ptr<Operator> MakeStatistics(SpecReader& reader);
std::unique_ptr<Operator> MakeSignStatistics(SpecReader& reader);
std::unique_ptr<Operator> MakeMaskStatistics(SpecReader& reader);
std::unique_ptr<Operator> MakeScaleBy(SpecReader& reader);
std::unique_ptr<Operator> MakeStencil(SpecReader& reader);
std::unique_ptr<Operator> MakePool(SpecReader& reader);
std::unique_ptr<Operator> MakeUpsample(SpecReader& reader);
std::unique_ptr<Operator> MakeMergePatches(SpecReader& reader);
std::unique_ptr<Operator> MakeBinaryConv(SpecReader& reader);
std::unique_ptr<Operator> MakeGatherRows(SpecReader& reader);
std::unique_ptr<Operator> MakeRepeatChannels(SpecReader& reader);
std::unique_ptr<Operator> MakeMeanChannels(SpecReader& reader);
std::unique_ptr<Operator> MakeReshapeRows(SpecReader& reader);
std::unique_ptr<Operator> MakeWindowsToHeads(SpecReader& reader);
std::unique_ptr<Operator> MakeHeadsToWindows(SpecReader& reader);
std::unique_ptr<Operator> MakeStencil(SpecReader& reader);
std::unique_ptr<Operator> MakePool(SpecReader& reader);
std::unique_ptr<Operator> MakeUpsample(SpecReader& reader);
std::unique_ptr<Operator> MakeMergePatches(SpecReader& reader);
std::unique_ptr<Operator> MakeBinaryConv(SpecReader& reader);
std::unique_ptr<Operator> MakeGatherRows(SpecReader& reader);
std::unique_ptr<Operator> MakeRepeatChannels(SpecReader& reader);
std::unique_ptr<Operator> MakeMeanChannels(SpecReader& reader);
std::unique_ptr<Operator> MakeReshapeRows(SpecReader& reader);
std::unique_ptr<Operator> MakeWindowsToHeads(SpecReader& reader);
std::unique_ptr<Operator> MakeHeadsToWindows(SpecReader& reader);

}  // namespace bitvit

// sign, mask: bits by thresholds that are known when the file is written.
#include "ops/bits_operator.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

BITVIT_OPERATOR(sign) {
  op.Input("x", "f32 [N,C]").Parameter("threshold", "f32 [C]").Output("bits", "sign [N,C] or heads");
  op.RowWise().Tiled().FloatOperations("elements");
  op.make = MakeBits<BitsOperator::Rule::kSign>;
}

BITVIT_OPERATOR(mask) {
  op.Input("x", "f32 [N,C]").Parameter("threshold", "f32 [C]").Output("bits", "mask [N,C] or heads");
  op.RowWise().Tiled().FloatOperations("elements");
  op.make = MakeBits<BitsOperator::Rule::kMask>;
}

}  // namespace bitvit

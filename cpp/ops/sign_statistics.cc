// sign_statistics, mask_statistics: bits by statistics of the image itself.
#include "ops/bits_operator.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

BITVIT_OPERATOR(sign_statistics) {
  op.Input("x", "f32 [N,C]").Input("statistics", "f32 [2]").Output("bits", "sign [N,C] or heads");
  op.RowWise().Tiled().FloatOperations("elements");
  op.make = MakeBits<BitsOperator::Rule::kSignStatistics>;
}

BITVIT_OPERATOR(mask_statistics) {
  op.Input("x", "f32 [N,C]").Input("statistics", "f32 [2]").Output("bits", "mask [N,C] or heads");
  op.RowWise().Tiled().FloatOperations("2*elements");
  op.make = MakeBits<BitsOperator::Rule::kMaskStatistics>;
}

}  // namespace bitvit

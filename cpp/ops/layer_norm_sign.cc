#include "ops/bits_operator.h"
#include "ops/operands.h"
#include "ops/operator.h"

namespace bitvit {

BITVIT_OPERATOR(layer_norm_sign) {
  op.Input("x", "f32 [N,C]").PositiveNumber("eps").Parameter("weight", "f32 [C]").Parameter("threshold", "f32 [C]");
  op.Output("bits", "sign [N,C] or heads").RowWise().Tiled().FloatOperations("6*elements");
  op.make = MakeBits<BitsOperator::Rule::kLayerNormSign>;
}

}  // namespace bitvit

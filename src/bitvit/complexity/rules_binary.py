"""What the binary layers are charged (GSB Table IX; derivation in `docs/complexity.md`).

Binarizing an activation means translating and scaling it first. Its charge for each element, T below, depends on where
the mean and the scale come from: with XNOR-Net's statistics 4 (sum for the mean, subtract, sum of magnitudes, divide),
with learned parameters 3 (shift, divide, round).
"""

from __future__ import annotations

from torch import nn

from bitvit import layers
from bitvit.complexity.charge import Charge
from bitvit.complexity.rules import SOFTMAX, Call, charge_rule
from bitvit.models.reference.gsb_layers import ReleaseAttentionBinarizer

TRANSLATE_AND_SCALE = {"xnor": 4, "learned": 3}
ROW_MAXIMUM = 1  # a row's largest attention value, where extra components need it
EXTRA_ATTENTION_COMPONENT = 2  # compare with the threshold, scale and add
VALUE_COMPONENT = 4  # two limits, mask, scale; the first component is charged like the others


def has_binary_weight(module: nn.Module) -> bool:
    """Whether the module's own `weight` is stored in one bit a number."""
    return callable(getattr(module, "binary_weight", None))


@charge_rule(layers.BinaryLinear)
def _binary_linear(module: layers.BinaryLinear, call: Call) -> Charge:
    products = call.elements_out * module.in_features
    epilogue = call.elements_out  # weight scale and bias
    if not module.binarize_input:
        return Charge(flops=products, other_flops=epilogue)
    binarization = TRANSLATE_AND_SCALE[module.statistics] * call.elements_in
    return Charge(bops=products, flops=binarization, other_flops=epilogue)


@charge_rule(layers.SignActivation)
def _sign_activation(module: layers.SignActivation, call: Call) -> Charge:
    return Charge(flops=TRANSLATE_AND_SCALE[module.statistics] * call.elements_in)


@charge_rule(layers.XnorAttentionBinarizer)
def _xnor_attention(module: layers.XnorAttentionBinarizer, call: Call) -> Charge:
    return Charge(flops=TRANSLATE_AND_SCALE["xnor"] * call.elements_in)


@charge_rule(layers.GsbAttentionBinarizer, ReleaseAttentionBinarizer)
def _gsb_attention(module: layers.GsbAttentionBinarizer | ReleaseAttentionBinarizer, call: Call) -> Charge:
    extra = len(module.factors)
    per_element = TRANSLATE_AND_SCALE["learned"] + (ROW_MAXIMUM if extra else 0) + EXTRA_ATTENTION_COMPONENT * extra
    return Charge(flops=per_element * call.elements_in)


@charge_rule(layers.GsbValueBinarizer)
def _gsb_value(module: layers.GsbValueBinarizer, call: Call) -> Charge:
    per_element = TRANSLATE_AND_SCALE["learned"] + VALUE_COMPONENT * (len(module.factors) + 1)
    return Charge(flops=per_element * call.elements_in)


@charge_rule(layers.BinaryAttention)
def _binary_attention(module: layers.BinaryAttention, call: Call) -> Charge:
    """Scores, softmax, and the product with V: one binary product for each pair of components (Eq. 35)."""
    _, tokens, channels = call.input
    pairs = (len(getattr(module.attention, "factors", ())) + 1) * (len(getattr(module.value, "factors", ())) + 1)
    products = tokens * tokens * channels * (1 + pairs)
    other = SOFTMAX * tokens * tokens * module.num_heads + pairs * tokens * channels
    if not module.binarize_activations:
        return Charge(flops=2 * tokens * tokens * channels, other_flops=other)
    # The only component of a value that is a plain sign is charged as a component, too.
    single = 0 if isinstance(module.value, layers.GsbValueBinarizer) else VALUE_COMPONENT * tokens * channels
    return Charge(bops=products, flops=single, other_flops=other)


@charge_rule(layers.BinaryMlp)
def _binary_mlp(module: layers.BinaryMlp, call: Call) -> Charge:
    return Charge()  # all of its work is its children's

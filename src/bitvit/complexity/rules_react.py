"""What the layers of BinaryViT and BHViT are charged, by the same measure as GSB's (`docs/complexity.md`).

Their activations are shifted and compared with 0, without a scale: 2 operations an element where GSB's take 3.
"""

from __future__ import annotations

from math import prod

from torch import nn

from bitvit.complexity.charge import Charge
from bitvit.complexity.rules import SOFTMAX, Call, charge_rule
from bitvit.layers.attention_quantizers import BandedMaskQuantizer, ClippedMaskQuantizer, DecomposedQuantizer
from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.channelwise_binary import ChannelwiseBinaryConv2d, ChannelwiseBinaryLinear
from bitvit.layers.dilated_mixer import DilatedMixer
from bitvit.layers.react_attention import AttentionCore, ReactAttention
from bitvit.layers.react_branches import PoolingBranches, ShiftBranches
from bitvit.layers.react_downsampling import BinaryDownsampling, FloatDownsampling, PositionEmbedding
from bitvit.layers.react_linear import ReactLinear, ReactMlp
from bitvit.layers.rprelu import RPReLU
from bitvit.layers.shifted_sign import ShiftedSign
from bitvit.layers.window_attention import WindowAttention, WindowMerge, WindowTokens
from bitvit.models.bhvit import BhvitBlock
from bitvit.models.binaryvit import BinaryVitBlock
from bitvit.models.pyramid import Pyramid, PyramidStage, PyramidStem
from bitvit.models.reactdeit import ReactBlock, ReactDeit

SHIFT_AND_SIGN = 2
QUANTIZER = {
    ClippedMaskQuantizer: 2,  # divide, round
    DecomposedQuantizer: 4,  # multiply-add, round, two limits
    BandedMaskQuantizer: 7,  # divide, round, row maximum, and for each of two bands compare and add
}
PLANES = {ClippedMaskQuantizer: 1, DecomposedQuantizer: 3, BandedMaskQuantizer: 3}
RPRELU = 3  # subtract, slope, add


@charge_rule(DilatedMixer, FloatDownsampling, Pyramid, PyramidStage, PyramidStem, ReactDeit, ReactMlp)
def _free(module: nn.Module, call: Call) -> Charge:
    return Charge()  # all that counts is done by the children


@charge_rule(ChannelwiseBinaryLinear)
def _linear(module: ChannelwiseBinaryLinear, call: Call) -> Charge:
    products, scale = call.elements_out * module.in_features, call.elements_out
    if not module.binarize_input:
        return Charge(flops=products, other_flops=scale)
    return Charge(products, SHIFT_AND_SIGN * call.elements_in, scale)


@charge_rule(ChannelwiseBinaryConv2d)
def _convolution(module: ChannelwiseBinaryConv2d, call: Call) -> Charge:
    products = call.elements_out * module.in_channels // module.groups * module.kernel_size**2
    binarization = 0 if module.signed_input else SHIFT_AND_SIGN * call.elements_in
    if not module.binarize_input:
        return Charge(flops=products, other_flops=call.elements_out)
    return Charge(products, binarization, call.elements_out)


@charge_rule(ShiftedSign)
def _shifted_sign(module: ShiftedSign, call: Call) -> Charge:
    return Charge(flops=SHIFT_AND_SIGN * call.elements_in)


@charge_rule(*QUANTIZER)
def _quantizer(module: nn.Module, call: Call) -> Charge:
    return Charge(flops=next(QUANTIZER[kind] for kind in QUANTIZER if isinstance(module, kind)) * call.elements_in)


@charge_rule(AttentionCore)
def _attention_core(module: AttentionCore, call: Call) -> Charge:
    """Scores, softmax, and one binary product with V for each plane of the attention."""
    batch, queries, channels = call.input
    pairs = batch * queries * call.inputs[1][1]
    softmax = SOFTMAX * pairs * module.num_heads
    if not getattr(module.query_sign, "binarize_input", False):  # stage 1, or the full-precision twin
        return Charge(flops=2 * pairs * channels, other_flops=softmax)
    planes = next(PLANES[kind] for kind in PLANES if isinstance(module.quantizer, kind))
    return Charge(pairs * channels * (1 + planes), 0, softmax + call.elements_out)


@charge_rule(ReactAttention, WindowAttention)
def _residuals_of_attention(module: ReactAttention | WindowAttention, call: Call) -> Charge:
    """The sum of context, q, k and v, and the average pooling before reduced keys and values."""
    pooled = call.elements_in if getattr(module, "reduction", 1) > 1 else 0
    return Charge(other_flops=3 * call.elements_out + pooled)


@charge_rule(RPReLU)
def _rprelu(module: RPReLU, call: Call) -> Charge:
    return Charge(other_flops=RPRELU * call.elements_out)


@charge_rule(ChannelAffine, PositionEmbedding)
def _one_per_element(module: nn.Module, call: Call) -> Charge:
    return Charge(other_flops=call.elements_out)


@charge_rule(ReactLinear)
def _react_linear(module: ReactLinear, call: Call) -> Charge:
    """The residual sum, and the average of adjacent channels where the layer contracts."""
    averages = call.elements_in if module.in_features > module.out_features else 0
    return Charge(other_flops=call.elements_out + averages)


@charge_rule(PoolingBranches, ShiftBranches)
def _branches(module: PoolingBranches | ShiftBranches, call: Call) -> Charge:
    """Along height and width a sum of k elements and a division each; every branch is added."""
    kinds = 3 if isinstance(module, ShiftBranches) else 2
    per_element = sum(2 * kernel + kinds for kernel in module.kernels)
    return Charge(other_flops=per_element * call.elements_in)


@charge_rule(BinaryDownsampling)
def _downsampling(module: BinaryDownsampling, call: Call) -> Charge:
    return Charge(other_flops=call.elements_in + call.elements_out)  # the average pooling, the residual sum


@charge_rule(WindowTokens)
def _window_tokens(module: WindowTokens, call: Call) -> Charge:
    """Maximum and mean of every cell, and their mixture."""
    summaries = prod(call.input) // module.window**2
    return Charge(other_flops=2 * call.elements_in + 3 * summaries)


@charge_rule(WindowMerge)
def _window_merge(module: WindowMerge, call: Call) -> Charge:
    return Charge(other_flops=4 * call.elements_out)  # mean over windows, two shares, sum


@charge_rule(BinaryVitBlock, BhvitBlock, ReactBlock)
def _block(module: nn.Module, call: Call) -> Charge:
    branches = 1 if getattr(module, "branches", None) is not None else 0
    return Charge(other_flops=(2 + branches) * call.elements_out)

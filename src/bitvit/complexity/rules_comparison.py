"""What the comparison models are charged: binary ResNets, and Q-ViT's products of few bits.

A product of w-bit weights with x-bit activations is w times x binary products (one for each pair of bit planes), so a
multiply-add of two 2-bit numbers counts 4 binary multiply-adds.
"""

from __future__ import annotations

from torch import nn
from torchvision.models.resnet import BasicBlock

from bitvit.complexity.charge import Charge
from bitvit.complexity.rules import SOFTMAX, Call, charge_rule
from bitvit.complexity.rules_binary import TRANSLATE_AND_SCALE
from bitvit.layers.channel_rprelu import ChannelRPReLU
from bitvit.layers.estimated_conv import EstimatedConv2d
from bitvit.layers.information_rectification import InformationRectification
from bitvit.layers.low_bit_layers import LowBitActivation, LowBitAttention, LowBitLinear
from bitvit.models.binary_resnet import BinaryResNet, BiRealUnit, XnorBlock

RECTIFICATION = 6  # sum, subtract, square and sum, shift, divide, scale
_INPUT_COST = {"xnor": 2, "reactnet": 1}  # magnitudes and their sum over channels; a threshold for each channel


@charge_rule(EstimatedConv2d)
def _estimated_conv(module: EstimatedConv2d, call: Call) -> Charge:
    products = call.elements_out * module.weight[0].numel()
    if not module.binarize_input:
        return Charge(flops=products, other_flops=call.elements_out)
    flops = _INPUT_COST.get(module.estimator, 0) * call.elements_in
    return Charge(bops=products, flops=flops, other_flops=call.elements_out)


@charge_rule(LowBitActivation)
def _low_bit_activation(module: LowBitActivation, call: Call) -> Charge:
    return Charge(flops=TRANSLATE_AND_SCALE["learned"] * call.elements_in if module.binarize_input else 0)


@charge_rule(LowBitLinear)
def _low_bit_linear(module: LowBitLinear, call: Call) -> Charge:
    products = call.elements_out * module.in_features
    if not module.quantize.binarize_input:
        return Charge(flops=products, other_flops=call.elements_out)
    return Charge(bops=products * module.bits**2, other_flops=call.elements_out)


@charge_rule(LowBitAttention)
def _low_bit_attention(module: LowBitAttention, call: Call) -> Charge:
    _, tokens, channels = call.input
    products = 2 * tokens * tokens * channels
    other = SOFTMAX * tokens * tokens * module.num_heads
    if not module.query.binarize_input:
        return Charge(flops=products, other_flops=other)
    return Charge(bops=products * module.bits**2, other_flops=other)


@charge_rule(InformationRectification)
def _rectification(module: InformationRectification, call: Call) -> Charge:
    return Charge(flops=RECTIFICATION * call.elements_in)


@charge_rule(ChannelRPReLU)
def _channel_rprelu(module: ChannelRPReLU, call: Call) -> Charge:
    return Charge(other_flops=3 * call.elements_out)


@charge_rule(BiRealUnit, XnorBlock, BasicBlock, nn.Hardtanh)
def _one_per_output(module: nn.Module, call: Call) -> Charge:
    return Charge(other_flops=call.elements_out)  # the residual sum, or the activation


@charge_rule(nn.MaxPool2d)
def _max_pool(module: nn.MaxPool2d, call: Call) -> Charge:
    return Charge(other_flops=call.elements_in)


@charge_rule(BinaryResNet)
def _binary_resnet(module: BinaryResNet, call: Call) -> Charge:
    return Charge()

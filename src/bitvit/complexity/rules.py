"""What modules of torch, timm and torchvision are charged, for one image: the rules of `docs/complexity.md` as code.

Our own layers say it themselves, by a method ``charge(call) -> Charge`` (`bitvit.layers.facts`). A rule gets the module
and the shapes of its inputs and of its first output (batch of one), and returns the charge of the module's own work,
without that of its children.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from timm.layers import Attention, DropPath, LayerScale, Mlp, PatchDropout, PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn
from torchvision.models.resnet import BasicBlock

from bitvit.charge import GELU, LAYER_NORM, SOFTMAX, Call, Charge

Rule = Callable[[Any, Call], Charge]


def find_rule(module: nn.Module) -> Rule | None:
    """Return what a module says of itself, or the rule of its class or of its nearest base class that has one."""
    own = getattr(type(module), "charge", None)
    if callable(own):
        rule: Rule = own
        return rule
    return next((_RULES[base] for base in type(module).__mro__ if base in _RULES), None)


def _free(module: nn.Module, call: Call) -> Charge:
    return Charge()


def _linear(module: nn.Linear, call: Call) -> Charge:
    return Charge(flops=call.elements_out * module.in_features)


def _conv2d(module: nn.Conv2d, call: Call) -> Charge:
    per_output = module.in_channels // module.groups * prod(module.kernel_size)
    return Charge(flops=call.elements_out * per_output)


def _layer_norm(module: nn.Module, call: Call) -> Charge:
    return Charge(other_flops=LAYER_NORM * call.elements_in)


def _one_per_output(module: nn.Module, call: Call) -> Charge:
    return Charge(other_flops=call.elements_out)


def _one_per_input(module: nn.Module, call: Call) -> Charge:
    return Charge(other_flops=call.elements_in)


def _gelu(module: nn.Module, call: Call) -> Charge:
    return Charge(other_flops=GELU * call.elements_out)


def _attention(module: Attention, call: Call) -> Charge:
    _, tokens, channels = call.input
    return Charge(flops=2 * tokens * tokens * channels, other_flops=SOFTMAX * tokens * tokens * module.num_heads)


def _block(module: nn.Module, call: Call) -> Charge:
    return Charge(other_flops=2 * call.elements_out)  # the two residual sums


def _vision_transformer(module: VisionTransformer, call: Call) -> Charge:
    return Charge(other_flops=module.pos_embed.numel() if module.pos_embed is not None else 0)


_RULES: dict[type[nn.Module], Rule] = {
    **dict.fromkeys(
        (nn.Identity, nn.Dropout, DropPath, PatchDropout, PatchEmbed, Mlp, nn.Flatten, nn.Sequential), _free
    ),
    nn.Linear: _linear,
    nn.Conv2d: _conv2d,
    nn.LayerNorm: _layer_norm,
    # BasicBlock: the residual sum.
    **dict.fromkeys(
        (nn.modules.batchnorm._BatchNorm, LayerScale, nn.ReLU, nn.PReLU, nn.Hardtanh, BasicBlock), _one_per_output
    ),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.MaxPool2d), _one_per_input),
    nn.GELU: _gelu,
    Attention: _attention,
    Block: _block,
    VisionTransformer: _vision_transformer,
}

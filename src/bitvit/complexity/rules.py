"""What each type of module is charged, for one image: the rules of `docs/complexity.md` as code.

A rule gets the module and the shapes of its inputs and of its first output (batch of one), and returns the charge of
the module's own work, without that of its children. Rules are looked up along the class hierarchy, so a subclass is
charged as its base.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

from timm.layers import Attention, DropPath, LayerScale, Mlp, PatchDropout, PatchEmbed
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from bitvit.complexity.charge import Charge

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """Shapes of the tensors of one call of a module; the first axis is the batch, which is 1.

    Attributes:
        inputs: of all positional arguments that are tensors.
        output: of the result, or of the first one.
    """

    inputs: tuple[Shape, ...]
    output: Shape

    @property
    def input(self) -> Shape:
        return self.inputs[0]

    @property
    def elements_in(self) -> int:
        return prod(self.input)

    @property
    def elements_out(self) -> int:
        return prod(self.output)


Rule = Callable[[Any, Call], Charge]
_RULES: dict[type[nn.Module], Rule] = {}
R = TypeVar("R", bound=Rule)

# Costs per element of the operations that the paper's tables leave out.
LAYER_NORM = 5  # sum, subtract, multiply-add of squares, divide, multiply-add of weight and bias
SOFTMAX = 6  # scale, maximum, subtract, exponential, sum, divide
GELU = 2  # the normal distribution function, multiply


def charge_rule(*types: type[nn.Module]) -> Callable[[R], R]:
    """Register the decorated function `(module, call) -> Charge` as the rule of module types, also of your own."""

    def register(rule: R) -> R:
        for module_type in types:
            _RULES[module_type] = rule
        return rule

    return register


def find_rule(module: nn.Module) -> Rule | None:
    """Return the rule of a module's class or of its nearest base class that has one."""
    return next((_RULES[base] for base in type(module).__mro__ if base in _RULES), None)


@charge_rule(nn.Identity, nn.Dropout, DropPath, PatchDropout, PatchEmbed, Mlp, nn.Flatten, nn.Sequential)
def _free(module: nn.Module, call: Call) -> Charge:
    return Charge()


@charge_rule(nn.Linear)
def _linear(module: nn.Linear, call: Call) -> Charge:
    return Charge(flops=call.elements_out * module.in_features)


@charge_rule(nn.Conv2d)
def _conv2d(module: nn.Conv2d, call: Call) -> Charge:
    per_output = module.in_channels // module.groups * prod(module.kernel_size)
    return Charge(flops=call.elements_out * per_output)


@charge_rule(nn.LayerNorm)
def _layer_norm(module: nn.LayerNorm, call: Call) -> Charge:
    return Charge(other_flops=LAYER_NORM * call.elements_in)


@charge_rule(nn.modules.batchnorm._BatchNorm, LayerScale, nn.ReLU, nn.PReLU)
def _one_per_element(module: nn.Module, call: Call) -> Charge:
    return Charge(other_flops=call.elements_out)


@charge_rule(nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
def _pooling(module: nn.Module, call: Call) -> Charge:
    return Charge(other_flops=call.elements_in)


@charge_rule(nn.GELU)
def _gelu(module: nn.GELU, call: Call) -> Charge:
    return Charge(other_flops=GELU * call.elements_out)


@charge_rule(Attention)
def _attention(module: Attention, call: Call) -> Charge:
    _, tokens, channels = call.input
    return Charge(flops=2 * tokens * tokens * channels, other_flops=SOFTMAX * tokens * tokens * module.num_heads)


@charge_rule(Block)
def _block(module: Block, call: Call) -> Charge:
    return Charge(other_flops=2 * call.elements_out)  # the two residual sums


@charge_rule(VisionTransformer)
def _vision_transformer(module: VisionTransformer, call: Call) -> Charge:
    return Charge(other_flops=module.pos_embed.numel() if module.pos_embed is not None else 0)

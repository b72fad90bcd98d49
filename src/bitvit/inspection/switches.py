"""Taking binarization away from one kind of module of a network, to see what it costs.

What is binary is replaced by the real value that it approximates: `s sign(x + shift)` by `x + shift`, `alpha sign(W -
mean W)` by `W - mean W`, GSB attention by `A - Phi`, GSB values by `V - Omega`. BinaryViT and BHViT scale no
activation, so theirs become real values of mean magnitude 1, and real attention gets the mean of the binary one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from functools import singledispatch
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitvit.layers import BinaryAttention, BinaryLinear, SignActivation
from bitvit.layers.attention_binarizers import GsbAttentionBinarizer
from bitvit.layers.channelwise_binary import ChannelwiseBinaryConv2d, ChannelwiseBinaryLinear
from bitvit.layers.dilated_mixer import DilatedMixer
from bitvit.layers.react_attention import AttentionCore
from bitvit.layers.shifted_sign import ShiftedSign
from bitvit.layers.value_binarizer import GsbValueBinarizer
from bitvit.quantizers import at_least_float32, image_statistics

ATTENTION, VALUE, QUERY_KEY, INPUTS, WEIGHTS = "attention", "value", "query and key", "linear inputs", "weights"
KINDS = (ATTENTION, VALUE, QUERY_KEY, INPUTS, WEIGHTS)


def without(model: nn.Module, kinds: Collection[str], *, centred: bool = True) -> nn.Module:
    """Return a copy of a binary network in which some kinds of modules work with real values.

    Args:
        model: the binary network. kinds: of `KINDS`.
        centred: subtract the mean of restored weights, as their binarization does; without it they are those of the
            full-precision network.
    """
    changed = copy.deepcopy(model)
    for module in changed.modules():
        for kind in kinds:
            restore(module, kind, centred)
    return changed


@singledispatch
def restore(module: nn.Module, kind: str, centred: bool) -> None:
    """Make what belongs to `kind` in this module real, in place; other modules are left alone."""


def _replace(module: nn.Module, name: str, function: Callable[..., Any]) -> None:
    """Put a function in the place of a method of this one object."""
    vars(module)[name] = function


def _unit(x: Tensor) -> Tensor:
    """Scale each image to the mean magnitude 1."""
    axes = tuple(range(1, x.dim()))
    return x / x.abs().mean(dim=axes, keepdim=True).clamp_min(1e-12)


@restore.register
def _(module: BinaryAttention, kind: str, centred: bool) -> None:
    if kind == ATTENTION:
        binarizer = module.attention
        _replace(binarizer, "forward", binarizer.shifted if isinstance(binarizer, GsbAttentionBinarizer) else _same)
    elif kind == VALUE:
        value = module.value
        _replace(value, "forward", _shifted_value(value) if isinstance(value, GsbValueBinarizer) else _real(value))
    elif kind == QUERY_KEY:
        for sign in (module.query, module.key):
            _replace(sign, "forward", _real(sign))


def _same(x: Tensor) -> Tensor:
    return at_least_float32(x)


def _shifted_value(binarizer: GsbValueBinarizer) -> Callable[[Tensor], Tensor]:
    return lambda value: at_least_float32(value) - binarizer.omega


def _real(sign: SignActivation) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        x = at_least_float32(x)
        if sign.statistics == "learned":
            return x + sign.shift
        mean, magnitude = image_statistics(x)
        return x - mean if sign.scaled else (x - mean) / magnitude

    return forward


@restore.register
def _(module: BinaryLinear, kind: str, centred: bool) -> None:
    if kind in (INPUTS, WEIGHTS):
        kinds: set[str] = vars(module).setdefault("restored_kinds", set())
        kinds.add(kind)
        _replace(module, "forward", lambda x: _linear(module, x, kinds, centred))


def _linear(module: BinaryLinear, x: Tensor, kinds: Collection[str], centred: bool) -> Tensor:
    """Apply a binary linear layer with real inputs, real weights or both."""
    x = at_least_float32(x)
    if INPUTS not in kinds:
        bits, scale = module.input_bits(x)
        x = bits * scale
    else:
        x = x + module.input_shift if module.statistics == "learned" else x - image_statistics(x)[0]
    weight = at_least_float32(module.weight)
    if WEIGHTS not in kinds:
        signs, alpha = module.binary_weight()
        weight = signs * alpha
    elif centred:
        weight = weight - weight.mean()
    return F.linear(x, weight, module.bias)


@restore.register(ChannelwiseBinaryLinear)
@restore.register(ChannelwiseBinaryConv2d)
def _(module: ChannelwiseBinaryLinear | ChannelwiseBinaryConv2d, kind: str, centred: bool) -> None:
    if kind == INPUTS and not getattr(module, "signed_input", False):
        binary_forward = module.forward
        module.binarize_input = False
        shift = cast(Tensor, module.input_shift)
        _replace(module, "forward", lambda x: binary_forward(_unit(x + shift) - shift))
    elif kind == WEIGHTS:
        weight = module.weight
        axes = tuple(range(1, weight.dim()))
        is_centred = centred and getattr(module, "centre", True)
        real = weight - weight.mean(dim=axes, keepdim=True) if is_centred else weight
        ones = torch.ones(len(weight))
        _replace(module, "binary_weight", lambda: (real, ones))


@restore.register
def _(module: DilatedMixer, kind: str, centred: bool) -> None:
    if kind == INPUTS:
        _replace(module.sign, "forward", _shifted(module.sign))


@restore.register
def _(module: AttentionCore, kind: str, centred: bool) -> None:
    if kind == ATTENTION:
        _replace(module.quantizer, "forward", _real_attention(module.quantizer.forward))
    elif kind == VALUE:
        _replace(module.value_sign, "forward", _shifted(module.value_sign))
    elif kind == QUERY_KEY:
        for sign in (module.query_sign, module.key_sign):
            _replace(sign, "forward", _shifted(sign))


def _real_attention(quantize: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Probabilities of each image, and the factor that gives them the mean of their binary form."""

    def forward(probabilities: Tensor) -> tuple[Tensor, Tensor]:
        levels, scale = quantize(probabilities)
        axes = (1, 2, 3)
        return probabilities, (levels * scale).sum(axes, keepdim=True) / probabilities.sum(axes, keepdim=True)

    return forward


def _shifted(sign: ShiftedSign) -> Callable[[Tensor], Tensor]:
    return lambda x: _unit(x + sign.shift)

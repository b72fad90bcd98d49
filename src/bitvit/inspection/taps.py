"""Attention probabilities of a network while it runs: before binarization, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import Attention
from torch import Tensor, nn

from bitvit.layers import BinaryAttention
from bitvit.layers.react_attention import AttentionCore


@dataclass(frozen=True)
class AttentionValues:
    """Attention of one layer for all images.

    Attributes:
        layer: its module path.
        real: probabilities A_re `[B, H, N, M]`.
        binary: what multiplies V instead of them, None in a full-precision layer.
    """

    layer: str
    real: Tensor
    binary: Tensor | None


def attention_layers(model: nn.Module) -> list[str]:
    """Return the paths of all attention layers that can be tapped, in order."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, BinaryAttention | AttentionCore | Attention)
    ]


@torch.no_grad()
def tap_attention(model: nn.Module, layer: str, images: Tensor, batch_size: int = 64) -> AttentionValues:
    """Run a network and return the attention of one layer.

    Args:
        model: in evaluation mode.
        layer: one of `attention_layers`.
        images: normalized `[B, 3, H, W]`.
        batch_size: images at a time.
    """
    real: list[Tensor] = []
    binary: list[Tensor] = []
    with _hooks(model.get_submodule(layer), real.append, binary.append):
        for part in torch.split(images, batch_size):
            model(part)
    return AttentionValues(layer, torch.cat(real), torch.cat(binary) if binary else None)


@contextmanager
def _hooks(module: nn.Module, real: Callable[[Tensor], None], binary: Callable[[Tensor], None]) -> Iterator[None]:
    if isinstance(module, Attention):
        handle = module.register_forward_pre_hook(lambda layer, inputs: real(_probabilities(layer, inputs[0])))
    else:
        quantizer: Any = module.attention

        def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
            real(inputs[0].detach().clone())
            levels, scale = output
            binary((levels if scale is None else levels * scale).detach().clone())

        handle = quantizer.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


def _probabilities(layer: Any, x: Tensor) -> Tensor:
    """What timm's attention computes inside one fused operator."""
    batch, tokens, _ = x.shape
    q, k, _ = layer.qkv(x).reshape(batch, tokens, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    scores: Tensor = layer.q_norm(q) @ layer.k_norm(k).transpose(-2, -1) * layer.scale
    return scores.softmax(dim=-1)

"""Constants folded in the full-precision twins of BinaryViT and BHViT, as a deployment of such a network would."""

from __future__ import annotations

import torch
from torch import nn

from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.token_norm import TokenBatchNorm


def fold_norms(model: nn.Module) -> None:
    """Fold batch normalizations into the products before them; the others become a scale and a shift.

    In place; the model's evaluation output changes by rounding only. A module that applies a batch normalization
    directly to the output of a product names the two: ``norm_after = ("conv", "norm")``.
    """
    for module in list(model.modules()):
        names = getattr(module, "norm_after", None)
        if names is None:
            continue
        product_name, norm_name = names
        product, norm = getattr(module, product_name), getattr(module, norm_name)
        if isinstance(product, nn.Linear | nn.Conv2d) and isinstance(norm, TokenBatchNorm):
            _fold(product, norm)
            setattr(module, norm_name, nn.Identity())
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, TokenBatchNorm):
                setattr(module, name, _affine(child))


@torch.no_grad()
def _fold(product: nn.Linear | nn.Conv2d, norm: TokenBatchNorm) -> None:
    scale, shift = norm.folded()
    product.weight.mul_(scale.view(-1, *[1] * (product.weight.dim() - 1)))
    bias = shift if product.bias is None else product.bias * scale + shift
    product.bias = nn.Parameter(bias.clone())


@torch.no_grad()
def _affine(norm: TokenBatchNorm) -> ChannelAffine:
    scale, shift = norm.folded()
    affine = ChannelAffine(len(scale), 1.0)
    affine.scale.copy_(scale)
    affine.shift.copy_(shift)
    return affine

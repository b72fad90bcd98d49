"""Constants folded in the full-precision twins of BinaryViT and BHViT, as a deployment of such a network would."""

from __future__ import annotations

import torch
from torch import nn

from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.react_downsampling import BinaryDownsampling, FloatDownsampling
from bitvit.layers.react_linear import ReactLinear
from bitvit.layers.token_norm import TokenBatchNorm
from bitvit.models.pyramid import PyramidStem

# Modules whose forward pass applies a batch normalization directly to the output of a product.
_PAIRS: dict[type[nn.Module], tuple[str, str]] = {
    ReactLinear: ("linear", "norm"),
    BinaryDownsampling: ("conv", "norm_out"),
    FloatDownsampling: ("conv", "norm_out"),
    PyramidStem: ("conv", "norm"),
}


def fold_norms(model: nn.Module) -> None:
    """Fold batch normalizations into the products before them; the others become a scale and a shift.

    In place; the model's evaluation output changes by rounding only.
    """
    for module in list(model.modules()):
        product_name, norm_name = next((pair for kind, pair in _PAIRS.items() if isinstance(module, kind)), ("", ""))
        if not product_name:
            continue
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

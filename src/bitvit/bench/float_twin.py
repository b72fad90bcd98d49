"""The full-precision network of the same architecture, as a baseline of the packed one in benchmarks."""

from __future__ import annotations

import copy
from functools import singledispatch

import torch.nn.functional as F
from timm.layers import Attention, Mlp
from torch import Tensor, nn

from bitvit import layers
from bitvit.bench.twin_folding import fold_norms
from bitvit.layers.attention_quantizers import BandedMaskQuantizer, ClippedMaskQuantizer, DecomposedQuantizer
from bitvit.layers.channelwise_binary import ChannelwiseBinaryConv2d, ChannelwiseBinaryLinear
from bitvit.layers.maps import channels_first, channels_last
from bitvit.layers.react_attention import AttentionCore, split_heads
from bitvit.layers.shifted_sign import ShiftedSign


@singledispatch
def float_layer(layer: nn.Module) -> nn.Module | None:
    """Return the full-precision layer that `layer` binarizes, with its weights; None where `layer` stays as it is.

    Other code may register more layers with `float_layer.register`.
    """
    return None


def float_twin(model: nn.Module) -> nn.Module:
    """Return a copy of a binary model with every binary or quantized layer replaced by its full-precision one.

    The twin of a binarized timm model has the modules of that timm model, so that other engines see the network they
    are tuned for. That of a BinaryViT or BHViT has its batch normalizations folded and calls torch's own attention.
    """
    twin = copy.deepcopy(model)
    _replace(twin)
    fold_norms(twin)
    return twin.eval()


def _replace(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        replacement = float_layer(child)
        if replacement is None:
            _replace(child)
        else:
            missing = replacement.load_state_dict(child.state_dict(), strict=False).missing_keys
            assert not missing, f"{name}: no weights for {missing}"
            setattr(module, name, replacement)


@float_layer.register
def _(layer: layers.BinaryLinear) -> nn.Module:
    return nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)


@float_layer.register
def _(layer: layers.QuantizedLinear) -> nn.Module:
    return nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)


@float_layer.register
def _(layer: layers.QuantizedConv2d) -> nn.Module:
    height, width = layer.kernel_size
    rows, columns = layer.stride
    return nn.Conv2d(
        layer.in_channels, layer.out_channels, (height, width), stride=(rows, columns), bias=layer.bias is not None
    )


@float_layer.register
def _(layer: layers.BinaryAttention) -> nn.Module:
    return Attention(
        layer.num_heads * layer.head_dim,
        num_heads=layer.num_heads,
        qkv_bias=layer.qkv.bias is not None,
        proj_bias=layer.proj.bias is not None,
    )


@float_layer.register
def _(layer: layers.BinaryMlp) -> nn.Module:
    return Mlp(
        layer.fc1.in_features,
        layer.fc1.out_features,
        layer.fc2.out_features,
        bias=(layer.fc1.bias is not None, layer.fc2.bias is not None),
    )


class MapConv2d(nn.Conv2d):
    """A convolution of a channels-last map: ``[B, H, W, C] -> [B, H', W', O]``."""

    def forward(self, input: Tensor) -> Tensor:
        return channels_last(super().forward(channels_first(input)))


@float_layer.register
def _(layer: ChannelwiseBinaryLinear) -> nn.Module:
    return nn.Linear(layer.in_features, layer.out_features, bias=False)


@float_layer.register
def _(layer: ChannelwiseBinaryConv2d) -> nn.Module:
    return MapConv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        bias=layer.bias is not None,
    )


@float_layer.register
def _(layer: ShiftedSign) -> nn.Module:
    return nn.Identity()


class FloatAttentionCore(AttentionCore):
    """`AttentionCore` in full precision: ``y = softmax(q k^T / sqrt(D)) v``."""

    def __init__(self, num_heads: int, head_dim: int) -> None:
        nn.Module.__init__(self)
        self.num_heads = num_heads
        self.head_dim = head_dim
        self.query_sign = nn.Identity()  # type: ignore[assignment]

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (split_heads(x, self.num_heads) for x in (query, key, value))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


@float_layer.register
def _(layer: AttentionCore) -> nn.Module:
    return FloatAttentionCore(layer.num_heads, layer.head_dim)


@float_layer.register(ClippedMaskQuantizer)
@float_layer.register(DecomposedQuantizer)
@float_layer.register(BandedMaskQuantizer)
def _(layer: ClippedMaskQuantizer | DecomposedQuantizer | BandedMaskQuantizer) -> nn.Module:
    real = copy.deepcopy(layer)
    real.set_activation_binarization(False)
    return real

"""MSGDC: BHViT's token mixer of its first stages, three binary grouped dilated convolutions."""

from typing import ClassVar

from torch import Tensor, nn

from bitvit.charge import NoOwnWork
from bitvit.errors import UsageError
from bitvit.layers.facts import INPUTS, RealParts, packed_child
from bitvit.layers.packed import PackedBits, as_rows, grid_of, like_map
from bitvit.layers.quant_conv import PackedBinaryConv, QuantConv2d
from bitvit.layers.react_linear import ReactOptions, draw_weight
from bitvit.layers.rprelu import RPReLU

DILATIONS = (1, 3, 5)
GROUPS = 4


class DilatedMixer(NoOwnWork, nn.Module):
    """Multi-scale grouped dilated convolution.

    ``s = sign(x + shift)``; ``y = norm(sum_d rprelu_d(conv3x3_d(s) + bias_d))`` over the dilations d = 1, 3, 5 with 4
    channel groups; zero padding follows the sign, so padded elements contribute 0.

    Args:
        channels: C, a multiple of 4.
        options: shared choices of the network.

    Shape: map ``[B, H, W, C] -> [B, H, W, C]``.

    Source: docs/models.md, section 5.
    """

    real_parts: ClassVar[RealParts] = {INPUTS: ("sign",)}

    def __init__(self, channels: int, options: ReactOptions) -> None:
        super().__init__()
        if channels % GROUPS:
            raise UsageError(f"the dilated mixer needs a multiple of {GROUPS} channels, got {channels}")
        self.sign = options.make_sign(channels)
        self.convs = nn.ModuleList(
            QuantConv2d(
                channels,
                channels,
                3,
                padding=dilation,
                dilation=dilation,
                groups=GROUPS,
                weight=options.make_filter(),
                input=None,
                initialize=draw_weight,
            )
            for dilation in DILATIONS
        )
        self.activations = nn.ModuleList(RPReLU(channels) for _ in DILATIONS)
        self.norm = options.make_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Mix neighbouring tokens."""
        signs, scale = self.sign(x)
        signs = signs if scale is None else signs * scale
        first, second, third = (
            activation(conv(signs)) for conv, activation in zip(self.convs, self.activations, strict=True)
        )
        result: Tensor = self.norm(first + second + third)
        return result

    def packed(self) -> nn.Module:
        """Return the layer on bits."""
        return PackedDilatedMixer(self)


class PackedDilatedMixer(nn.Module):
    """Packed `DilatedMixer`: the input is binarized once for the three convolutions."""

    def __init__(self, layer: DilatedMixer) -> None:
        super().__init__()
        form = layer.sign.packed_bits()
        self.sign = PackedBits(form, len(layer.convs[0].weight))  # type: ignore[arg-type]
        self.convs = nn.ModuleList(PackedBinaryConv(conv, form.scale) for conv in layer.convs)  # type: ignore[arg-type]
        self.activations = nn.ModuleList(packed_child(activation) for activation in layer.activations)
        self.norm = packed_child(layer.norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map a map, float32 ``[B, H, W, C]``, to a map of that shape."""
        bits, _ = self.sign(as_rows(x))
        grid = grid_of(x)
        first, second, third = (
            activation(conv(bits, grid)) for conv, activation in zip(self.convs, self.activations, strict=True)
        )
        return like_map(self.norm(first + second + third), x)

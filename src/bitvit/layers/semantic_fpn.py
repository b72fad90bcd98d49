"""The decoder of segmentation networks: Semantic FPN on a pyramid of maps."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitvit.charge import Call, Charge, NoOwnWork
from bitvit.errors import UsageError
from bitvit.layers.gsb_linear import step_linear
from bitvit.layers.maps import average_pool, channels_first, nearest_upsample
from bitvit.layers.packed import as_rows, grid_of, ops
from bitvit.layers.quant_conv import MapConv2d, QuantConv2d
from bitvit.layers.react_linear import ReactLinear, ReactOptions, draw_weight
from bitvit.layers.rprelu import RPReLU


class ReactConv(nn.Module):
    """Binary convolution of a map with its normalization, identity residual and activation.

    ``y = rprelu(norm(conv_3x3(sign(x + shift))) + x)``; zero padding follows the sign, so padded elements contribute 0.

    Args:
        channels: C.
        options: shared choices of the network.

    Shape: map ``[B, H, W, C] -> [B, H, W, C]``.

    Source: the unit of `ReactLinear` (docs/models.md, section 3) with a 3 x 3 convolution, as in ReActNet.
    """

    norm_after = ("conv", "norm")

    def __init__(self, channels: int, options: ReactOptions) -> None:
        super().__init__()
        self.conv = QuantConv2d(
            channels,
            channels,
            3,
            padding=1,
            bias=False,
            weight=options.make_filter(),
            input=options.make_sign(channels),
            initialize=draw_weight,
        )
        self.norm = options.make_norm(channels)
        self.activation = RPReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit to a map."""
        result: Tensor = self.activation(self.norm(self.conv(x)) + x)
        return result

    def charge(self, call: Call) -> Charge:
        """Count the residual sum."""
        return Charge(other_flops=call.elements_out)  # the residual sum


class RealConv(NoOwnWork, nn.Module):
    """The unit of the decoder in full precision: ``y = relu(norm(conv_3x3(x)))``.

    Shape: map ``[B, H, W, C] -> [B, H, W, C]``.
    """

    norm_after = ("conv", "norm")

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = MapConv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = ReactOptions().make_norm(channels)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit to a map."""
        result: Tensor = self.activation(self.norm(self.conv(x)))
        return result


class Double(NoOwnWork, nn.Module):
    """Enlarge a map to twice its size by repeating its elements: ``[B, H, W, C] -> [B, 2H, 2W, C]``."""

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge a map."""
        return nearest_upsample(x, (2 * x.shape[1], 2 * x.shape[2]))

    def packed(self) -> nn.Module:
        """Return the operator `upsample`."""
        return PackedDouble()


class PackedDouble(nn.Module):
    """Packed `Double`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, H, W, C]``, float32, to ``[B, 2 H, 2 W, C]``."""
        height, width = grid_of(x)
        rows: Tensor = ops.upsample(as_rows(x), [height, width], 2)
        return rows.reshape(len(x), 2 * height, 2 * width, rows.shape[-1])


class MapPool(nn.Module):
    """Average-pool a map: ``[B, k H, k W, C] -> [B, H, W, C]``.

    Args:
        kernel: k.
    """

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """Pool a map."""
        k = self.kernel
        return average_pool(x, (k, k), (k, k), (0, 0))

    def charge(self, call: Call) -> Charge:
        """Count one operation per element of the input."""
        return Charge(other_flops=call.elements_in)

    def packed(self) -> nn.Module:
        """Return the operator `pool`."""
        return PackedMapPool(self.kernel)


class PackedMapPool(nn.Module):
    """Packed `MapPool`."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, k H, k W, C]``, float32, to ``[B, H, W, C]``."""
        height, width = grid_of(x)
        rows: Tensor = ops.pool(as_rows(x), [height, width], "average", self.kernel, self.kernel, 0)
        return rows.reshape(len(x), height // self.kernel, width // self.kernel, rows.shape[-1])


class PatchExpansion(NoOwnWork, nn.Module):
    """Cut every token into ``f x f`` tokens of a finer map (pixel shuffle): what a lateral of a coarse map ends with.

    Channels ``[(i f + j) D, (i f + j + 1) D)`` of a token become the token at row i and column j of its cell.

    Args:
        factor: f.

    Shape: map ``[B, h, w, f f D] -> [B, f h, f w, D]``.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Rearrange a map."""
        f = self.factor
        batch, height, width, channels = x.shape
        cells = x.reshape(batch, height, width, f, f, channels // f**2)
        return cells.permute(0, 1, 3, 2, 4, 5).reshape(batch, f * height, f * width, channels // f**2)

    def extra_repr(self) -> str:
        """Return the factor, which ``repr`` shows."""
        return f"factor={self.factor}"

    def packed(self) -> nn.Module:
        """Return the layer as a rearrangement of rows."""
        return PackedPatchExpansion(self.factor)


class PackedPatchExpansion(nn.Module):
    """Packed `PatchExpansion`: the parts of a token's channels as rows of their own, then in the order of the map."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, H, W, f f C]``, float32, to ``[B, f H, f W, C]``."""
        f = self.factor
        height, width = grid_of(x)
        order = torch.arange(height * width * f * f, dtype=torch.int32).reshape(height, width, f, f)
        order = order.permute(0, 2, 1, 3).reshape(-1)
        rows: Tensor = ops.gather_rows(ops.reshape_rows(as_rows(x), len(order)), order)
        return rows.reshape(len(x), f * height, f * width, rows.shape[-1])


class ScoreResize(nn.Module):
    """Enlarge the scores of a map bilinearly to the size of the image (half-pixel centres, edges repeated).

    Packed, it goes on to the class of every pixel: the index of its largest score, the lowest among equals.

    Args:
        size: H and W.

    Shape: map ``[B, h, w, classes] -> [B, classes, H, W]``; packed, int32 ``[B, H W]``.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge the scores."""
        return F.interpolate(channels_first(x), size=self.size, mode="bilinear", align_corners=False)

    def extra_repr(self) -> str:
        """Return the size, which ``repr`` shows."""
        return f"size={self.size}"

    def charge(self, call: Call) -> Charge:
        """Count nine operations per element of the output: three sums of two products."""
        return Charge(other_flops=9 * call.elements_out)  # three sums of two products

    def packed(self) -> nn.Module:
        """Return the enlargement together with the choice of the class."""
        return PackedLabelMap(self.size)


class PackedLabelMap(nn.Module):
    """Packed `ScoreResize`: map of scores -> class of every pixel."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """Map scores, float32 ``[B, h, w, classes]``, to the class of every pixel, int32 ``[B, H W]``."""
        labels: Tensor = ops.argmax_channels(ops.resize_bilinear(as_rows(x), grid_of(x), list(self.size)))
        return labels


def _unit(channels: int, options: ReactOptions | None) -> nn.Module:
    return RealConv(channels) if options is None else ReactConv(channels, options)


def _lateral(in_features: int, out_features: int, options: ReactOptions | None) -> nn.Module:
    return nn.Linear(in_features, out_features) if options is None else ReactLinear(in_features, out_features, options)


class SemanticFpn(nn.Module):
    """Class scores for every cell of the finest map, from maps of halving size.

    ``p_i = lateral_i(norm_i(map_i)) + up2(p_{i+1})``; ``s_i`` is ``p_i`` after ``max(i, 1)`` units of a 3 x 3
    convolution, each but that of the finest map followed by nearest upsampling; ``y = classifier(norm(sum_i s_i))``.
    Laterals (`ReactLinear`) and units (`ReactConv`) are binary; the classifier has 8-bit weights and inputs. In full
    precision laterals are linear layers, units are convolution, normalization and ReLU, and the classifier is real.

    Args:
        in_channels: channels of the maps, the finest first.
        channels: D, width of the decoder. Between each ``in_channels`` and D one must be a multiple of the other.
        num_classes: classes.
        options: shared choices of the network; None builds the decoder in full precision.
        expansions: for each map how often finer it is to become (`PatchExpansion`); all 1 by default.
        dropout: share of elements that training drops before the classifier.

    Shape: maps ``[B, H / 2^i, W / 2^i, C_i]`` -> ``[B, H, W, classes]``.

    Raises:
        UsageError: widths that do not fit each other.

    Source: Panoptic Feature Pyramid Networks (Kirillov et al., 2019), section 3.2, with nearest upsampling, batch
    normalization and the binary units of BHViT; BHViT's own decoder is not published.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        options: ReactOptions | None,
        *,
        expansions: Sequence[int] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        factors = list(expansions) if expansions is not None else [1] * len(in_channels)
        if len(factors) != len(in_channels):
            raise UsageError(f"{len(in_channels)} maps but {len(factors)} expansions")
        make_norm = (options or ReactOptions()).make_norm
        self.norms = nn.ModuleList(make_norm(width) for width in in_channels)
        self.laterals = nn.ModuleList(
            _lateral(width, channels * factor**2, options) for width, factor in zip(in_channels, factors, strict=True)
        )
        self.expansions = nn.ModuleList(PatchExpansion(f) if f > 1 else nn.Identity() for f in factors)
        self.enlarge = Double()
        self.branches = nn.ModuleList(
            nn.ModuleList(_unit(channels, options) for _ in range(max(level, 1))) for level in range(len(in_channels))
        )
        self.norm = make_norm(channels)
        self.dropout = nn.Dropout(dropout)
        classifier = nn.Linear(channels, num_classes)
        nn.init.trunc_normal_(classifier.weight, std=0.02)
        nn.init.zeros_(classifier.bias)
        self.classifier: nn.Module = classifier if options is None else step_linear(classifier)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the scores."""
        features: list[Tensor] = []
        parts = zip(self.norms, self.laterals, self.expansions, maps, strict=True)
        for norm, lateral, expansion, x in reversed(list(parts)):
            p = expansion(lateral(norm(x)))
            features.insert(0, p + self.enlarge(features[0]) if features else p)
        total: Tensor | None = None
        for level, (branch, x) in enumerate(zip(self.branches, features, strict=True)):
            for unit in branch:  # type: ignore[attr-defined]
                x = unit(x) if level == 0 else self.enlarge(unit(x))
            total = x if total is None else total + x
        assert total is not None
        result: Tensor = self.classifier(self.dropout(self.norm(total)))
        return result

    def charge(self, call: Call) -> Charge:
        """The sums of maps: three top-down, each of a size, and three of the finest size."""
        finest = call.elements_out // self.classifier.weight.shape[0] * self.norm.weight.shape[0]  # type: ignore[index]
        n_maps = len(self.norms)
        top_down = sum(finest // 4**level for level in range(n_maps - 1))
        return Charge(other_flops=(n_maps - 1) * finest + top_down)

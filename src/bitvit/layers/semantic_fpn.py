"""The decoder of segmentation networks: Semantic FPN on a pyramid of maps."""

from collections.abc import Sequence

from torch import Tensor, nn

from bitvit.errors import UsageError
from bitvit.layers.maps import channels_first, channels_last, nearest_upsample
from bitvit.layers.quantized_ends import QuantizedLinear
from bitvit.layers.react_conv import ReactConv
from bitvit.layers.react_linear import ReactLinear, ReactOptions


def double(x: Tensor) -> Tensor:
    """Enlarge a map to twice its size: ``[B, H, W, C] -> [B, 2H, 2W, C]``."""
    return nearest_upsample(x, (2 * x.shape[1], 2 * x.shape[2]))


class PatchExpansion(nn.Module):
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
        return f"factor={self.factor}"


class RealConv(nn.Module):
    """The unit of the decoder in full precision: ``y = relu(norm(conv_3x3(x)))``.

    Shape: map ``[B, H, W, C] -> [B, H, W, C]``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = ReactOptions().make_norm(channels)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the unit to a map."""
        result: Tensor = self.activation(self.norm(channels_last(self.conv(channels_first(x)))))
        return result


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
        expansions: for each map how often finer it is to become (`PatchExpansion`); all 1 for a true pyramid.
        dropout: share of channels that training drops before the classifier.

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
        self.branches = nn.ModuleList(
            nn.ModuleList(_unit(channels, options) for _ in range(max(level, 1))) for level in range(len(in_channels))
        )
        self.norm = make_norm(channels)
        self.dropout = nn.Dropout(dropout)
        classifier = nn.Linear(channels, num_classes)
        nn.init.trunc_normal_(classifier.weight, std=0.02)
        nn.init.zeros_(classifier.bias)
        self.classifier: nn.Module = classifier if options is None else QuantizedLinear.from_float(classifier)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the scores."""
        features: list[Tensor] = []
        parts = zip(self.norms, self.laterals, self.expansions, maps, strict=True)
        for norm, lateral, expansion, x in reversed(list(parts)):
            p = expansion(lateral(norm(x)))
            features.insert(0, p + double(features[0]) if features else p)
        total: Tensor | None = None
        for level, (branch, x) in enumerate(zip(self.branches, features, strict=True)):
            for unit in branch:  # type: ignore[attr-defined]
                x = unit(x) if level == 0 else double(unit(x))
            total = x if total is None else total + x
        assert total is not None
        result: Tensor = self.classifier(self.dropout(self.norm(total)))
        return result

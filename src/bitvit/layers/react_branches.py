"""Extra branches beside the FFN: average pooling (BinaryViT) and shifts (BHViT)."""

import json
from collections.abc import Sequence

from torch import Tensor, nn

from bitvit.charge import Call, Charge
from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.facts import packed_child
from bitvit.layers.maps import average_pool, channel_quarter_shift, roll_mean
from bitvit.layers.packed import as_rows, grid_of, like_map, ops

Taps = list[list[int]]


def _affine(channels: int, affine: bool) -> nn.Module:
    return ChannelAffine(channels, 0.0) if affine else nn.Identity()


class PoolingBranches(nn.Module):
    """Sum of average poolings along height and along width, each scaled and shifted.

    ``y = sum_k affine_hk(pool_{k x 1}(x)) + affine_wk(pool_{1 x k}(x))``; stride 1, zero padding, division by k always.

    Args:
        channels: C.
        kernels: sizes k, odd.
        affine: scale and shift each branch (initially 0); without it branches are added as they are.

    Shape: map ``[B, H, W, C] -> [B, H, W, C]``.

    Source: multi-branch average pooling, docs/models.md, section 4.
    """

    def __init__(self, channels: int, kernels: Sequence[int] = (3, 5), *, affine: bool = True) -> None:
        super().__init__()
        self.kernels = tuple(kernels)
        self.along_height = nn.ModuleList(_affine(channels, affine) for _ in self.kernels)
        self.along_width = nn.ModuleList(_affine(channels, affine) for _ in self.kernels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of all branches."""
        total: Tensor | None = None
        for kernel, height, width in zip(self.kernels, self.along_height, self.along_width, strict=True):
            pad = kernel // 2
            branch = height(average_pool(x, (kernel, 1), (1, 1), (pad, 0)))
            branch = branch + width(average_pool(x, (1, kernel), (1, 1), (0, pad)))
            total = branch if total is None else total + branch
        return x.new_zeros(()) if total is None else total

    def charge(self, call: Call) -> Charge:
        """Along height and width a sum of k elements and a division each; every branch is added."""
        return Charge(other_flops=sum(2 * kernel + 2 for kernel in self.kernels) * call.elements_in)

    def packed(self) -> nn.Module:
        """Return the branches as stencils: means of neighbouring cells."""
        sizes = []
        for kernel, height, width in zip(self.kernels, self.along_height, self.along_width, strict=True):
            reach = range(-(kernel // 2), kernel // 2 + 1)
            sizes.append(
                [
                    StencilBranch([[[d, 0] for d in reach]], False, kernel, height),
                    StencilBranch([[[0, d] for d in reach]], False, kernel, width),
                ]
            )
        return PackedBranches(sizes)

    def extra_repr(self) -> str:
        """Return the kernels, which ``repr`` shows."""
        return f"kernels={self.kernels}"


class ShiftBranches(nn.Module):
    """Sum of shifted means along height and width and of channel-quarter shifts, each scaled and shifted.

    For size k (3 or 5) with ``s = k // 2``: ``affine_h(mean of x rolled by -s..s along H)``, the same along W, and
    ``affine_c(quarters of the channels rolled by +s, -s along H and +s, -s along W)``; rolls wrap around.

    Args:
        channels: C, a multiple of 4.
        kernels: sizes k, odd.
        affine: scale and shift each branch (initially 0).

    Shape: map ``[B, H, W, C] -> [B, H, W, C]``.

    Source: the shift module, docs/models.md, section 5.
    """

    def __init__(self, channels: int, kernels: Sequence[int] = (3, 5), *, affine: bool = True) -> None:
        super().__init__()
        self.kernels = tuple(kernels)
        self.along_height = nn.ModuleList(_affine(channels, affine) for _ in self.kernels)
        self.along_width = nn.ModuleList(_affine(channels, affine) for _ in self.kernels)
        self.along_channels = nn.ModuleList(_affine(channels, affine) for _ in self.kernels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of all branches."""
        total: Tensor | None = None
        branches = zip(self.kernels, self.along_height, self.along_width, self.along_channels, strict=True)
        for kernel, height, width, quarters in branches:
            radius = kernel // 2
            branch = height(roll_mean(x, 1, radius)) + width(roll_mean(x, 2, radius))
            branch = branch + quarters(channel_quarter_shift(x, radius))
            total = branch if total is None else total + branch
        return x.new_zeros(()) if total is None else total

    def charge(self, call: Call) -> Charge:
        """Along height and width a sum of k elements and a division each; every branch is added."""
        return Charge(other_flops=sum(2 * kernel + 3 for kernel in self.kernels) * call.elements_in)

    def packed(self) -> nn.Module:
        """`torch.roll(x, s)` reads the cell at distance -s."""
        sizes = []
        parts = zip(self.kernels, self.along_height, self.along_width, self.along_channels, strict=True)
        for kernel, height, width, quarters in parts:
            radius = kernel // 2
            reach = [0] + [sign * d for d in range(1, radius + 1) for sign in (-1, 1)]
            shifts: list[Taps] = [[[-radius, 0]], [[radius, 0]], [[0, -radius]], [[0, radius]]]
            sizes.append(
                [
                    StencilBranch([[[d, 0] for d in reach]], True, kernel, height),
                    StencilBranch([[[0, d] for d in reach]], True, kernel, width),
                    StencilBranch(shifts, True, 1, quarters),
                ]
            )
        return PackedBranches(sizes)

    def extra_repr(self) -> str:
        """Return the kernels, which ``repr`` shows."""
        return f"kernels={self.kernels}"


class StencilBranch(nn.Module):
    """A mean or shift of neighbouring cells, then its LayerScale: map -> map."""

    def __init__(self, groups: list[Taps], wrap: bool, divisor: int, affine: nn.Module) -> None:
        super().__init__()
        self.groups = json.dumps(groups)
        self.wrap = wrap
        self.divisor = divisor
        self.affine = packed_child(affine)

    def forward(self, x: Tensor) -> Tensor:
        """Map a map, float32 ``[B, H, W, C]``, to a map of that shape."""
        rows = ops.stencil(as_rows(x), grid_of(x), self.groups, self.wrap, self.divisor)
        branch: Tensor = self.affine(like_map(rows, x))
        return branch


class PackedBranches(nn.Module):
    """Sum of stencil branches, in the order of the trainable layer.

    Each size's branches are added up, then the sizes.
    """

    def __init__(self, sizes: list[list[StencilBranch]]) -> None:
        super().__init__()
        self.sizes = nn.ModuleList(nn.Sequential(*branches) for branches in sizes)

    def forward(self, x: Tensor) -> Tensor:
        """Map a map, float32 ``[B, H, W, C]``, to a map of that shape."""
        total: Tensor | None = None
        for branches in self.sizes:
            first, *rest = branches.children()
            branch: Tensor = first(x)
            for part in rest:
                branch = branch + part(x)
            total = branch if total is None else total + branch
        assert total is not None
        return total

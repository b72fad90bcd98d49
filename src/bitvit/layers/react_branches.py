"""Extra branches beside the FFN: average pooling (BinaryViT) and shifts (BHViT)."""

from collections.abc import Sequence

from torch import Tensor, nn

from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.maps import average_pool, channel_quarter_shift, roll_mean


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

    Source: multi-branch average pooling, MODELS section 4.
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

    def extra_repr(self) -> str:
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

    Source: the shift module, MODELS section 5.
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

    def extra_repr(self) -> str:
        return f"kernels={self.kernels}"

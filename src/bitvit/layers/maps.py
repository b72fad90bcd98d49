"""Pooling and shifts of channels-last maps ``[B, H, W, C]``."""

import torch
import torch.nn.functional as F
from torch import Tensor


def channels_first(x: Tensor) -> Tensor:
    """View a map ``[B, H, W, C]`` as ``[B, C, H, W]`` for torch's image operators; no data moves."""
    return x.permute(0, 3, 1, 2)


def channels_last(x: Tensor) -> Tensor:
    """View ``[B, C, H, W]`` as the map ``[B, H, W, C]``; no data moves."""
    return x.permute(0, 2, 3, 1)


def average_pool(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """Average-pool a map with zero padding, always dividing by the whole kernel: ``[B, H, W, C] -> [B, h, w, C]``."""
    maps = channels_first(x)
    if x.device.type != "cpu":
        # Until July 2026 PyTorch's gradient of padded pooling was wrong on CUDA where channels come last in memory
        # (github.com/pytorch/pytorch/issues/188344), and that of any pooling on Apple's MPS (issue 175190).
        maps = maps.contiguous()
    return channels_last(F.avg_pool2d(maps, kernel, stride, padding, count_include_pad=True))


def max_pool(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """Max-pool a map, padding with minus infinity: ``[B, H, W, C] -> [B, h, w, C]``."""
    return channels_last(F.max_pool2d(channels_first(x), kernel, stride, padding))


def nearest_upsample(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge a map to ``size`` by repeating its nearest elements: ``[B, h, w, C] -> [B, H, W, C]``."""
    if (x.shape[1], x.shape[2]) == size:
        return x
    return channels_last(F.interpolate(channels_first(x), size=size, mode="nearest"))


def roll_mean(x: Tensor, axis: int, radius: int) -> Tensor:
    """Return the mean of ``x`` rolled by ``-radius..radius`` along ``axis``; rolls wrap around."""
    total = x
    for offset in range(1, radius + 1):
        total = total + torch.roll(x, offset, axis) + torch.roll(x, -offset, axis)
    return total / (2 * radius + 1)


def channel_quarter_shift(x: Tensor, distance: int) -> Tensor:
    """Roll each quarter of a map's channels by ``distance``: +H, -H, +W, -W; rolls wrap around."""
    quarter = x.shape[-1] // 4
    down, up, right, left = torch.split(x, [quarter, quarter, quarter, x.shape[-1] - 3 * quarter], dim=-1)
    return torch.cat(
        [
            torch.roll(down, distance, 1),
            torch.roll(up, -distance, 1),
            torch.roll(right, distance, 2),
            torch.roll(left, -distance, 2),
        ],
        dim=-1,
    )

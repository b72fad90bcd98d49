"""How many channels the images of a network have, and their normalization."""

from __future__ import annotations

from typing import Any

from torch import nn

__all__ = ["input_channels", "normalization"]

_UNKNOWN = 0.5  # mean and standard deviation of a channel that no data set of photos has: pixels become -1 to 1


def input_channels(model: nn.Module) -> int:
    """Return the channels of a network's images: those of its first convolution."""
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    return 3 if first is None else first.in_channels


def normalization(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, for pixels scaled to 0..1, as `pretrained_cfg` has them.

    timm states those of red, green and blue, whatever `in_chans` is. A grey network gets their means; a fourth channel
    gets 0.5 and 0.5.
    """
    config: dict[str, Any] = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    channels = input_channels(model)
    mean, std = (
        _for_channels([float(value) for value in config.get(key) or (0.5, 0.5, 0.5)], channels)
        for key in ("mean", "std")
    )
    return mean, std


def _for_channels(values: list[float], channels: int) -> tuple[float, ...]:
    if len(values) == channels:
        return tuple(values)
    if channels == 1:
        return (sum(values) / len(values),)
    return (*values[:channels], *([_UNKNOWN] * (channels - len(values))))

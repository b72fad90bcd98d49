"""What training left alive of a network's quantizers: channels, planes, scales, MLPs, levels of the 8-bit ends."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from bitvit.layers.binary_mlp import BinaryMlp
from bitvit.layers.evaluation_mode import evaluation_mode
from bitvit.layers.quant_linear import QuantizedProduct
from bitvit.quantizers import AttentionEstimator, Estimator, StepActivation, StepWeight, ValueEstimator

__all__ = ["DEAD_BELOW", "End", "Liveness", "liveness_of"]

DEAD_BELOW = 0.01
"""A scale below this share of the value that its data ask for has no effect any more."""

_MOST_NAMES = 3


@dataclass(frozen=True)
class End:
    """A layer with 8-bit weights.

    Attributes:
        layer: its name.
        channels: output channels.
        dead_channels: those of them whose weights are all rounded to 0.
        levels: different codes in the weights of a channel, the median over channels.
        input_levels: different codes of its input, where that has 8 bits too.
    """

    layer: str
    channels: int
    dead_channels: int
    levels: float
    input_levels: int | None = None


@dataclass(frozen=True)
class Liveness:
    """What is alive.

    Attributes:
        ends: the layers with 8-bit weights.
        scales: number of scales of activations outside of planes.
        planes: number of components of attention and values, each with a scale.
        mlps: number of MLPs.
        dead_scales: names of scales without effect: below `DEAD_BELOW` of what a new calibration would set.
        dead_planes: names of planes without effect, likewise.
        dead_mlps: names of MLPs whose hidden activations are 0 for every image.
        smallest_relative_scale: the smallest scale, as a share of what a new calibration would set; None without any.
    """

    ends: tuple[End, ...] = ()
    scales: int = 0
    planes: int = 0
    mlps: int = 0
    dead_scales: tuple[str, ...] = ()
    dead_planes: tuple[str, ...] = ()
    dead_mlps: tuple[str, ...] = ()
    smallest_relative_scale: float | None = None

    @property
    def dead_channels(self) -> int:
        """Dead channels of all ends."""
        return sum(end.dead_channels for end in self.ends)

    @property
    def channels(self) -> int:
        """Channels of all ends."""
        return sum(end.channels for end in self.ends)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Liveness:
        """Return what `to_dict` gave."""
        known: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in content.items()
            if key not in ("dead_channels", "channels", "ends")
        }
        return cls(ends=tuple(End(**end) for end in content["ends"]), **known)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, with the sums over ends."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {"channels": self.channels, "dead_channels": self.dead_channels, **plain}

    def warning(self, phase: str) -> str | None:
        """Return one line that names what is dead, or None."""
        parts = [
            f"{end.dead_channels} of {end.channels} channels of {end.layer}" for end in self.ends if end.dead_channels
        ]
        for title, names, count in (
            ("planes", self.dead_planes, self.planes),
            ("scales", self.dead_scales, self.scales),
            ("MLPs", self.dead_mlps, self.mlps),
        ):
            if names:
                more = ", ..." if len(names) > _MOST_NAMES else ""
                parts.append(f"{len(names)} of {count} {title} ({', '.join(names[:_MOST_NAMES])}{more})")
        if not parts:
            return None
        return (
            f"{phase}: {'; '.join(parts)} died in training and have no effect: "
            f"lower {phase}.learning_rate or scales.speed"
        )


@dataclass
class _Seen:
    """What a forward pass shows."""

    planes: dict[str, float] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    is_zero: dict[str, bool] = field(default_factory=dict)
    levels: dict[str, int] = field(default_factory=dict)


@torch.no_grad()
def liveness_of(model: nn.Module, images: Tensor) -> Liveness | None:
    """Return what is alive in a network, or None for one without quantizers.

    One forward pass in evaluation mode; the network is left as it is.

    Args:
        model: in the stage of its phase: while activations are real, only the 8-bit weights are looked at.
        images: normalized images ``[B, C, H, W]``, some dozens.
    """
    estimators = {name: module for name, module in model.named_modules() if isinstance(module, Estimator)}
    if not estimators:
        return None
    products = {name: module for name, module in model.named_modules() if isinstance(module, QuantizedProduct)}
    seen = _look(model, estimators, images)
    hidden = {
        name: f"{name}.fc2.input_quantizer" for name, module in model.named_modules() if isinstance(module, BinaryMlp)
    }
    shares = {**seen.planes, **seen.scales}
    return Liveness(
        ends=tuple(
            _end(name, module, seen)
            for name, module in products.items()
            if isinstance(module.weight_quantizer, StepWeight)
        ),
        scales=len(seen.scales),
        planes=len(seen.planes),
        mlps=len(hidden),
        dead_scales=tuple(name for name, share in seen.scales.items() if share < DEAD_BELOW),
        dead_planes=tuple(name for name, share in seen.planes.items() if share < DEAD_BELOW),
        dead_mlps=tuple(name for name, inner in hidden.items() if seen.is_zero.get(inner, False)),
        smallest_relative_scale=min(shares.values()) if shares else None,
    )


def _look(model: nn.Module, estimators: Mapping[str, Estimator], images: Tensor) -> _Seen:
    seen = _Seen()

    def look(name: str, module: Estimator, inputs: Tensor, output: tuple[Tensor, Tensor | None]) -> None:
        if not module.enabled:
            return
        levels = output[0]
        seen.is_zero[name] = not bool(levels.any())
        if isinstance(module, StepActivation):
            seen.levels[name] = int(torch.unique(levels).numel())
        of_planes = isinstance(module, AttentionEstimator | ValueEstimator)
        for scale, shares in _relative_scales(module, inputs).items():
            for index, share in enumerate(shares.flatten().tolist()):
                full = f"{name}.{scale}[{index}]" if shares.dim() else f"{name}.{scale}"
                (seen.planes if of_planes else seen.scales)[full] = share

    hooks = [
        module.register_forward_hook(lambda own, inputs, output, name=name: look(name, own, inputs[0], output))
        for name, module in estimators.items()
    ]
    try:
        with evaluation_mode(model):
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _relative_scales(estimator: Estimator, inputs: Tensor) -> dict[str, Tensor]:
    """Return an estimator's scales as shares of those that a fit to the same input gives, else of those it began with.

    Args:
        estimator: with or without scales.
        inputs: what it quantizes.
    """
    values = estimator.scale_values()
    if not values:
        return {}
    if not estimator.is_fitted_to_data:
        logs = estimator.scale_parameters().values()
        return {name: log.detach().exp() for name, log in zip(values, logs, strict=True)}
    fitted = copy.deepcopy(estimator)
    fitted.fit(inputs)
    wanted = fitted.scale_values()
    return {name: value / wanted[name] for name, value in values.items()}


def _end(name: str, layer: QuantizedProduct, seen: _Seen) -> End:
    estimator = layer.weight_quantizer
    assert isinstance(estimator, StepWeight)
    codes = estimator.codes(layer.weight).flatten(1).cpu()
    return End(
        layer=name,
        channels=len(codes),
        dead_channels=int((codes == 0).all(dim=1).sum()),
        levels=float(median(int(torch.unique(row).numel()) for row in codes)),
        input_levels=seen.levels.get(f"{name}.input_quantizer"),
    )

"""What an estimator is: a module that turns a tensor into levels and their scale, behind four small interfaces.

``levels, scale = estimator(x)``: the quantized tensor is ``levels * scale``. Levels are small integers where possible
(signs, bits, codes), so that products of them are exact in float32 and the scale is applied to the result, as a packed
engine does. ``scale`` is None where the levels are final.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bitvit.charge import Call, Charge
from bitvit.errors import ExportError
from bitvit.quantizers.packed_forms import InputBits, InputCodes, MaskPlanes, StatisticMasks, ValuePlanes
from bitvit.quantizers.positive import Positive

Quantized = tuple[Tensor, Tensor | None]


class Estimator(nn.Module):
    """A quantizer with its forward, its backward and the fit of its learned scales.

    Subclasses define ``forward(x) -> (levels, scale)`` with its gradient. Calling a disabled estimator (`enabled` is
    False: the weights-only training stage) skips ``forward`` and gives `unquantized`.

    Attributes:
        bits: bits of a level.
        planes: binary products that one product with its result takes.
        flops_per_element: float operations that the paper's tables count for each element.
        enabled: False where the tensor stays real.
    """

    bits = 1
    planes = 1
    flops_per_element = 0

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True

    def __call__(self, x: Tensor) -> Quantized:
        """Quantize, or leave the tensor as it is where the estimator is disabled."""
        result: Quantized = super().__call__(x) if self.enabled else self.unquantized(x)
        return result

    def forward(self, x: Tensor) -> Quantized:
        """Return levels and their scale."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward(x) -> (levels, scale)")

    def unquantized(self, x: Tensor) -> Quantized:
        """Return what takes the place of the levels while the estimator is disabled."""
        return x, None

    def real_value(self, x: Tensor) -> Quantized:
        """Return the real value that the quantized one approximates, to see what the quantization costs."""
        return x, None

    def fit(self, x: Tensor) -> None:
        """Set learned scales and steps from data, in place: an explicit step, never a part of ``forward``.

        Args:
            x: what the estimator quantizes: the weights, or an activation, batch first.
        """

    @property
    def is_fitted_to_data(self) -> bool:
        """Whether `fit` does anything."""
        return type(self).fit is not Estimator.fit

    @property
    def is_watched(self) -> bool:
        """Whether a hook or a replaced ``forward`` must see each call, so that a layer may not fuse it away."""
        return bool(self._forward_hooks or self._forward_pre_hooks or "forward" in vars(self))

    def scale_parameters(self) -> dict[str, nn.Parameter]:
        """Return the logarithms of positive scales and steps (`Positive`) by name: they move at their own speed."""
        return {f"log_{name}": self.get_parameter(f"log_{name}") for name in self._scale_names()}

    def scale_values(self) -> dict[str, Tensor]:
        """Return the positive scales and steps themselves by name, without gradient."""
        return {name: getattr(self, name).detach() for name in self._scale_names()}

    def _scale_names(self) -> list[str]:
        names = [
            name for kind in type(self).__mro__ for name, value in vars(kind).items() if isinstance(value, Positive)
        ]
        return [name for name in dict.fromkeys(names) if f"log_{name}" in self._parameters]

    def set_activation_binarization(self, enabled: bool) -> None:
        """Switch the quantization of activations; parameters without a part in the forward pass take no gradient.

        A parameter that waits for a gradient which never comes would stop distributed training.
        """
        self.enabled = enabled
        for parameter in self.parameters():
            parameter.requires_grad_(enabled)

    def start_epoch(self, progress: float, weight: Tensor | None = None) -> None:
        """Prepare for an epoch where gradients follow a schedule.

        Args:
            progress: share of the epochs that are over, in [0, 1).
            weight: the weights that the estimator quantizes.
        """

    def charge(self, call: Call) -> Charge:
        """Return the operations of one call."""
        return Charge(flops=self.flops_per_element * call.elements_in)

    def float_twin(self) -> nn.Module | None:
        """Return what takes the estimator's place in a full-precision network."""
        return RealActivation()

    def _no_packed_form(self) -> ExportError:
        return ExportError(f"{type(self).__name__} has no packed form")

    def check_enabled(self) -> None:
        """Refuse to pack a model of the weights-only stage.

        Raises:
            ExportError: the estimator is disabled.
        """
        if not self.enabled:
            raise ExportError("the model's activations are not binary: train stage 2 before exporting it")


class WeightEstimator(Estimator):
    """Weights ``[O, ...]`` -> levels of that shape, and a scale: one number, or ``[O]``. Quantized in both stages.

    Packed, one-bit levels must be -1 and +1; the scale is taken as it is. Export needs nothing else.
    """

    is_full_precision_product = False
    """The product with other codes must not be rounded to half precision."""
    waits = False
    """Whether these weights stay real in the stage with real activations; otherwise both stages quantize them."""

    def set_activation_binarization(self, enabled: bool) -> None:
        """Quantize the weights in both stages, or, where they wait, from the second one on."""
        if self.waits:
            super().set_activation_binarization(enabled)

    def float_twin(self) -> nn.Module | None:
        """Return None: the layer's float twin has its weight as it is."""
        return None

    def fused_product(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, inputs: ActivationEstimator
    ) -> Tensor | None:
        """Return the whole linear layer in one step of autograd, or None where there is no such form."""
        return None


class RealWeight(WeightEstimator):
    """No quantization: the weights as they are."""

    bits = 32

    def forward(self, x: Tensor) -> Quantized:
        """Return the weights as they are."""
        return x, None


class ActivationEstimator(Estimator):
    """Activations, batch first -> levels of the same shape, and a scale that broadcasts over a product with them."""

    def packed(self) -> InputBits | InputCodes:
        """Return the packed form.

        Raises:
            ExportError: there is none, or the estimator is disabled.
        """
        raise self._no_packed_form()

    def packed_bits(self) -> InputBits:
        """Return the packed form of a one-bit estimator.

        Raises:
            ExportError: there is none, or the estimator is disabled.
        """
        self.check_enabled()
        form = self.packed()
        if not isinstance(form, InputBits):
            raise ExportError(f"{type(self).__name__} has no one-bit form")
        return form

    def value_planes(self) -> ValuePlanes:
        """Return the packed form as an estimator of values (see `ValueEstimator`); signs have one.

        Raises:
            ExportError: the estimator gives no signs.
        """
        form = self.packed_bits()
        if form.kind != "sign":
            raise ExportError(f"{type(self).__name__} gives no signs and cannot estimate values in a packed form")
        if form.threshold is None:
            return ValuePlanes(None, by_image=True)
        scale = torch.ones(1) if form.scale is None else form.scale.detach().float().reshape(1)
        return ValuePlanes(-form.threshold.reshape(-1), scale)


class RealActivation(ActivationEstimator):
    """No quantization: the tensor as it is."""

    bits = 32

    def forward(self, x: Tensor) -> Quantized:
        """Return the tensor as it is."""
        return x, None


class AttentionEstimator(Estimator):
    """Attention probabilities ``[B, H, N, M]`` -> levels of the same shape, and a scale that broadcasts over them."""

    def set_tokens(self, old: tuple[int, int], new: tuple[int, int], extra: int) -> None:
        """Follow another number of tokens, where something is learned or counted for each; else do nothing.

        Args:
            old: height and width of the map of patches until now.
            new: those from now on.
            extra: tokens in front of the patches.
        """

    def mask_planes(self, num_heads: int) -> MaskPlanes | StatisticMasks:
        """Return the packed form.

        Raises:
            ExportError: there is none.
        """
        raise self._no_packed_form()


class RealAttention(AttentionEstimator):
    """No quantization: the probabilities as they are."""

    bits = 32

    def forward(self, x: Tensor) -> Quantized:
        """Return the probabilities as they are."""
        return x, None


class ValueEstimator(Estimator):
    """Values ``[B, H, M, D]`` -> levels of the same shape, and a scale that broadcasts over them."""

    def value_planes(self) -> ValuePlanes:
        """Return the packed form.

        Raises:
            ExportError: there is none.
        """
        raise self._no_packed_form()


def product_of(*scales: Tensor | float | None) -> Any:
    """Return the product of the scales that are not None; None where all are."""
    result: Any = None
    for scale in scales:
        if scale is not None:
            result = scale if result is None else result * scale
    return result


def mean_ratio(estimator: Estimator, x: Tensor) -> Tensor:
    """Return the factor, one for each image, that gives ``x`` the mean of its quantized form: ``[B, 1, ...]``."""
    levels, scale = type(estimator).forward(estimator, x)  # whatever took its place in this object
    axes = tuple(range(1, x.dim()))
    quantized = levels if scale is None else levels * scale
    return quantized.sum(axes, keepdim=True) / x.sum(axes, keepdim=True)

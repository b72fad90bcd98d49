"""Quantization to 8 bits, for the first and last layers: steps that cover the range, or learned (LSQ)."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from bitvit.quantizers.estimator import ActivationEstimator, Quantized, WeightEstimator
from bitvit.quantizers.packed_forms import InputCodes
from bitvit.quantizers.positive import MIN_STEP, Positive
from bitvit.quantizers.precision import at_least_float32

INT8_MIN, INT8_MAX = -128, 127


def step_codes(x: Tensor, step: Tensor) -> Tensor:
    """Return ``clamp(round(x / step), -128, 127)``, half to even, as floats, without a gradient."""
    return torch.round(x / step).clamp(INT8_MIN, INT8_MAX)


class _StepCodes(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, gradient_scale: float) -> Tensor:
        codes = step_codes(x, step)
        ctx.save_for_backward(x, step, codes)
        ctx.gradient_scale = gradient_scale
        return codes

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        x, step, codes = ctx.saved_tensors
        grad = grad_outputs[0] / step
        ratio = x / step
        inside = (ratio >= INT8_MIN) & (ratio <= INT8_MAX)
        grad_step = grad * torch.where(inside, codes - ratio, codes)
        # Sum over every axis along which the step is constant.
        return grad * inside, grad_step.sum_to_size(step.shape) * ctx.gradient_scale, None


def learned_step_codes(x: Tensor, step: Tensor, group_size: int) -> Tensor:
    """Integer codes of `learned_step`, for layers that multiply exact integers and apply the steps afterwards.

    The gradient is that of the scaled value, for a caller that multiplies by ``step.detach()``.

    Args:
        x: values of any shape.
        step: positive, broadcasts over ``x``.
        group_size: see `learned_step`.

    Returns:
        Whole numbers in -128..127 as floats, same shape.
    """
    codes: Tensor = _StepCodes.apply(x, step, 1.0 / math.sqrt(group_size * INT8_MAX))
    return codes


def learned_step(x: Tensor, step: Tensor, group_size: int) -> Tensor:
    """Quantize to 8 bits with a learned step.

    Forward: ``y = s * clamp(round(x/s), -128, 127)``. Backward: ``dL/dx = dL/dy * 1{-128 <= x/s <= 127}``;
    ``dL/ds = sum(dL/dy * r) / sqrt(127 group_size)`` with ``r = round(x/s) - x/s`` inside the range, -128 or 127
    outside.

    Args:
        x: values of any shape.
        step: positive steps ``s`` that broadcast over ``x``: a scalar, or ``[O, 1, ...]`` for one step an output
            channel.
        group_size: number of values that share a step, of one image where ``x`` is an activation; scales the step's
            gradient.

    Returns:
        Quantized values, same shape.

    Source: Esser et al., "Learned step size quantization", ICLR 2020, Eq. 1-3. The authors' GSB
    release takes for ``group_size`` the numel of the whole weight, or of the whole batch of inputs.
    """
    return learned_step_codes(x, step, group_size) * step.detach()


def fit_step(x: Tensor, dim: tuple[int, ...] | None = None) -> Tensor:
    """Return the step that covers the range of ``x``: ``max|x| / 127``.

    Over all axes, or over ``dim`` (kept); 1 where all values are 0.
    """
    largest = x.abs().amax() if dim is None else x.abs().amax(dim=dim, keepdim=True)
    return torch.where(largest > 0, largest / INT8_MAX, torch.ones_like(largest))


class _RoundedCodes(Function):
    """Codes whose product with the (fixed) steps takes the identity as its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor) -> Tensor:
        ctx.save_for_backward(step)
        return step_codes(x, step)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (step,) = ctx.saved_tensors
        return grad_outputs[0] / step, None


def rounded_codes(x: Tensor, step: Tensor) -> Tensor:
    """Integer codes ``clamp(round(x / step), -128, 127)`` with fixed steps.

    The gradient is the identity, for a caller that multiplies by ``step``: nothing is out of range where the step
    covers the range.

    Args:
        x: values of any shape.
        step: positive, broadcasts over ``x``; takes no gradient.

    Returns:
        Whole numbers in -128..127 as floats, same shape.
    """
    codes: Tensor = _RoundedCodes.apply(x, step)
    return codes


def by_channel(step: Tensor, weight: Tensor) -> Tensor:
    """Return steps ``[O]`` or ``[]`` in a shape that broadcasts over the weights ``[O, ...]``."""
    return step.reshape(-1, *[1] * (weight.dim() - 1)) if step.dim() else step


class StepWeight(WeightEstimator):
    """8-bit weights with the smallest steps that cover them: ``s_o = max|W_o| / 127`` for each output channel.

    The steps follow the weights from update to update and are no parameters, so that all of the 8 bits stay in use. A
    learned step (`LearnedStepWeight`) has the size of one weight's 127th part: an optimizer that moves it as far as a
    weight loses the channel in one update.

    Source: the GSB release has first and last layers at 8 bits with learned steps; the range is bitvit's.
    """

    bits = 8
    is_full_precision_product = True

    def steps(self, weight: Tensor) -> Tensor:
        """Return the steps ``[O]`` of weights ``[O, ...]``, or one for all ``[]``."""
        return fit_step(at_least_float32(weight.detach()), dim=tuple(range(1, weight.dim()))).flatten()

    def codes(self, weight: Tensor) -> Tensor:
        """Return the weights' codes as they are stored, int8, without a gradient."""
        with torch.no_grad():
            return step_codes(at_least_float32(weight), by_channel(self.steps(weight), weight)).to(torch.int8)

    def forward(self, x: Tensor) -> Quantized:
        """Return the codes -127 .. 127, ``[O, ...]``, and the steps of the output channels, ``[O]``."""
        x = at_least_float32(x)
        step = self.steps(x)
        return rounded_codes(x, by_channel(step, x)), step


class LearnedStepWeight(StepWeight):
    """8-bit weights with learned steps: codes and steps of `learned_step_codes`.

    Args:
        channels: one step for each of so many output channels; None takes one for the tensor.

    Attributes:
        step: effective positive steps, scalar or ``[O]`` (the parameter is ``log_step``).

    Source: GSB release (first and last layers at 8 bits); steps start at ``max|W| / 127``, not at the release's
    first-forward statistic.
    """

    step = Positive(MIN_STEP)

    def __init__(self, channels: int | None = None) -> None:
        super().__init__()
        self.step = torch.ones(()) if channels is None else torch.ones(channels)

    def steps(self, weight: Tensor) -> Tensor:
        """Return the learned steps: a scalar, or ``[O]``."""
        return self.step

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set each step so that its weights just fit: ``max|W| / 127``."""
        self.step = fit_step(x, dim=tuple(range(1, x.dim()))).flatten() if self.step.dim() else fit_step(x)

    def forward(self, x: Tensor) -> Quantized:
        """Return the codes -128 .. 127, ``[O, ...]``, and the steps: a scalar, or ``[O]``."""
        x = at_least_float32(x)
        step = self.step
        group_size = x[0].numel() if step.dim() else x.numel()
        return learned_step_codes(x, by_channel(step, x), group_size), step.detach()


class StepActivation(ActivationEstimator):
    """8-bit activations with a learned shift for each channel and one learned step.

    Args:
        channels: size of the last axis.

    Attributes:
        shift: parameter ``[K]``, added, initially 0.
        step: effective positive scalar (the parameter is ``log_step``).
    """

    bits = 8
    step = Positive(MIN_STEP)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.step = torch.ones(())

    def forward(self, x: Tensor) -> Quantized:
        """Return the codes -128 .. 127 of ``x + shift``, in the shape of ``x``, and the step, a scalar."""
        x = at_least_float32(x)
        step = self.step
        return learned_step_codes(x + self.shift, step, group_size=x[0].numel()), step.detach()

    def unquantized(self, x: Tensor) -> Quantized:
        """Return the tensor in float32 or wider."""
        return at_least_float32(x), None

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Set the step so that the input just fits: ``max|x + shift| / 127``."""
        self.step = fit_step(at_least_float32(x) + self.shift)

    def packed(self) -> InputCodes:
        """Return the shift of each channel, ``[K]``, and the step."""
        self.check_enabled()
        return InputCodes(self.shift.detach(), self.step.detach().double())

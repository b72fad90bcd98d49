"""First and last layers with 8-bit weights: patch convolution and classification heads."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitvit.layers.staged import enable_gradients
from bitvit.quantizers import (
    MIN_STEP,
    Positive,
    at_least_float32,
    fit_step,
    learned_step,
    learned_step_codes,
    step_codes,
)


class QuantizedConv2d(nn.Conv2d):
    """Convolution with 8-bit weights and a learned step for each output channel; the input stays real (it is an image).

    ``y = conv(x, s_o * clamp(round(W / s_o), -128, 127)) + bias``; gradients of LSQ, see
    `bitvit.quantizers.learned_step`.

    Attributes:
        weight, bias: as of ``nn.Conv2d``.
        step: effective positive steps ``[O]`` (the parameter is ``raw_step``).

    Shape: ``[B, I, H, W] -> [B, O, H', W']``.

    Source: GSB release (first layer at 8 bits); the step starts at ``max|W_o| / 127``, not at the release's
    first-forward statistic.
    """

    step = Positive(MIN_STEP)

    @classmethod
    def from_float(cls, conv: nn.Conv2d) -> "QuantizedConv2d":
        """A quantized copy of a convolution, with steps that cover its weights."""
        quantized = cls(
            conv.in_channels,
            conv.out_channels,
            kernel_size=(conv.kernel_size[0], conv.kernel_size[1]),
            stride=(conv.stride[0], conv.stride[1]),
            padding=conv.padding if isinstance(conv.padding, str) else (conv.padding[0], conv.padding[1]),
            dilation=(conv.dilation[0], conv.dilation[1]),
            groups=conv.groups,
            bias=conv.bias is not None,
            device=conv.weight.device,
            dtype=conv.weight.dtype,
        )
        quantized.load_state_dict(conv.state_dict(), strict=False)
        quantized.reset_step()
        return quantized

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if not hasattr(self, "raw_step"):
            self.raw_step = nn.Parameter(torch.ones_like(self.weight[:, 0, 0, 0]))
        self.reset_step()

    @torch.no_grad()
    def reset_step(self) -> None:
        """Set each step so that the channel's weights just fit: ``max|W_o| / 127``."""
        self.step = fit_step(self.weight, dim=(1, 2, 3)).flatten()

    def integer_weight(self) -> Tensor:
        """The weights' 8-bit codes, int8 ``[O, I, h, w]``."""
        with torch.no_grad():
            return step_codes(at_least_float32(self.weight), self.step[:, None, None, None]).to(torch.int8)

    def forward(self, x: Tensor) -> Tensor:
        weight = at_least_float32(self.weight)
        quantized = learned_step(weight, self.step[:, None, None, None], group_size=weight[0].numel())
        y: Tensor = self._conv_forward(at_least_float32(x), quantized, self.bias)
        return y


class QuantizedLinear(nn.Linear):
    """Linear layer with 8-bit weights and 8-bit inputs, one learned step each.

    ``y = s_x s_w (codes(x + shift, s_x) . codes(W, s_w)) + bias`` with ``codes(t, s) = clamp(round(t / s), -128,
    127)``; gradients of LSQ, see `bitvit.quantizers.learned_step`. The integer products are exact in float32 up to 1000
    channels.

    Attributes:
        weight, bias: as of ``nn.Linear``.
        weight_step, input_step: effective positive scalars (the parameters are ``raw_weight_step``,
            ``raw_input_step``).
        input_shift: ``[K]``, added to the input, initially 0.
        quantize_input: False in stage 1, where the input stays real.

    Shape: ``[B, ..., K] -> [B, ..., O]``.

    Source: GSB release (heads at 8 bits).
    """

    weight_step = Positive(MIN_STEP)
    input_step = Positive(MIN_STEP)

    @classmethod
    def from_float(cls, linear: nn.Linear) -> "QuantizedLinear":
        """A quantized copy of a linear layer, with a weight step that covers its weights."""
        quantized = cls(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            device=linear.weight.device,
            dtype=linear.weight.dtype,
        )
        quantized.load_state_dict(linear.state_dict(), strict=False)
        quantized.reset_weight_step()
        return quantized

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if not hasattr(self, "raw_weight_step"):
            self.raw_weight_step = nn.Parameter(self.weight.new_ones(()))
            self.raw_input_step = nn.Parameter(self.weight.new_ones(()))
            self.input_shift = nn.Parameter(self.weight.new_zeros(self.in_features))
            self.quantize_input = True
        self.reset_weight_step()

    @torch.no_grad()
    def reset_weight_step(self) -> None:
        """Set the weights' step so that they just fit: ``max|W| / 127``."""
        self.weight_step = fit_step(self.weight)

    def integer_weight(self) -> Tensor:
        """The weights' 8-bit codes, int8 ``[O, K]``."""
        with torch.no_grad():
            return step_codes(at_least_float32(self.weight), self.weight_step).to(torch.int8)

    def forward(self, x: Tensor) -> Tensor:
        x = at_least_float32(x)
        weight = at_least_float32(self.weight)
        weight_step = self.weight_step
        scale = weight_step.detach()
        codes = learned_step_codes(weight, weight_step, group_size=weight.numel())
        if self.quantize_input:
            input_step = self.input_step
            x = learned_step_codes(x + self.input_shift, input_step, group_size=x[0].numel())
            scale = scale * input_step.detach()
        # In bfloat16 the product of codes would lose its low bits.
        with torch.autocast(x.device.type, enabled=False):
            product = F.linear(x, codes) * scale
        return product if self.bias is None else product + self.bias

    def set_activation_binarization(self, enabled: bool) -> None:
        """See `StagedLayer`: the 8-bit input belongs to the activations."""
        self.quantize_input = enabled
        enable_gradients([self.raw_input_step, self.input_shift], enabled)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the input's step so that the input just fits: ``max|x + shift| / 127``."""
        self.input_step = fit_step(at_least_float32(x) + self.input_shift)

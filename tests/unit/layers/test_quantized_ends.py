"""8-bit patch convolution and heads."""

import pytest
import torch
from torch import nn

from bitvit.layers import QuantizedConv2d, QuantizedLinear


@pytest.fixture
def conv() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(3, 5, kernel_size=4, stride=4)


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(37, 6)


def test_conv_keeps_weights_within_half_a_step(conv: nn.Conv2d) -> None:
    quantized = QuantizedConv2d.from_float(conv)
    assert quantized.weight.equal(conv.weight)
    codes = quantized.integer_weight()
    assert codes.dtype == torch.int8
    assert codes.flatten(1).abs().amax(1).tolist() == [127] * 5
    error = (codes * quantized.step[:, None, None, None] - conv.weight).abs()
    assert (error <= 0.5001 * quantized.step[:, None, None, None]).all()
    x = torch.randn(2, 3, 16, 16)
    expected = nn.functional.conv2d(x, codes * quantized.step[:, None, None, None], conv.bias, stride=4)
    torch.testing.assert_close(quantized(x), expected)
    assert set(quantized.state_dict()) == {"weight", "bias", "raw_step"}


def test_conv_gradients_reach_weight_step_and_bias(conv: nn.Conv2d) -> None:
    quantized = QuantizedConv2d.from_float(conv)
    quantized(torch.randn(2, 3, 8, 8)).square().sum().backward()
    for parameter in quantized.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_linear_multiplies_exact_codes(linear: nn.Linear) -> None:
    quantized = QuantizedLinear.from_float(linear).requires_grad_(False)
    quantized.input_shift.normal_(0, 0.1)
    x = torch.randn(4, 37)
    quantized.calibrate(x)
    step = quantized.input_step
    codes = torch.round((x + quantized.input_shift) / step).clamp(-128, 127).to(torch.int64)
    assert codes.abs().max().item() == 127
    product = codes @ quantized.integer_weight().to(torch.int64).T
    expected = product.float() * (quantized.weight_step * step) + linear.bias
    assert quantized(x).equal(expected)
    assert set(quantized.state_dict()) == {"weight", "bias", "raw_weight_step", "raw_input_step", "input_shift"}


def test_linear_in_stage_1_takes_the_real_input(linear: nn.Linear) -> None:
    quantized = QuantizedLinear.from_float(linear)
    quantized.set_activation_binarization(False)
    x = torch.randn(4, 37)
    expected = nn.functional.linear(x, quantized.integer_weight() * quantized.weight_step, linear.bias)
    torch.testing.assert_close(quantized(x), expected)
    frozen = {name for name, p in quantized.named_parameters() if not p.requires_grad}
    assert frozen == {"input_shift", "raw_input_step"}


def test_linear_under_autocast_is_exact(linear: nn.Linear) -> None:
    quantized = QuantizedLinear.from_float(linear).requires_grad_(False)
    x = torch.randn(4, 37)
    quantized.calibrate(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = quantized(x)
    assert under_autocast.equal(quantized(x))


def test_zero_weights_stay_finite() -> None:
    linear = nn.Linear(5, 3)
    nn.init.zeros_(linear.weight)
    quantized = QuantizedLinear.from_float(linear)
    y = quantized(torch.randn(2, 5))
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in quantized.parameters())

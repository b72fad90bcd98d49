"""8-bit patch convolution and heads."""

import pytest
import torch
from torch import nn

from bitvit.layers import QuantLinear, step_conv, step_linear
from bitvit.quantizers import StepActivation, StepWeight


def codes_of(layer: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights' codes and steps, one for each output channel."""
    estimator = layer.weight_quantizer
    assert isinstance(estimator, StepWeight)
    return estimator.codes(layer.get_parameter("weight")), estimator.steps(layer.get_parameter("weight"))


def inputs_of(layer: QuantLinear) -> StepActivation:
    assert isinstance(layer.input_quantizer, StepActivation)
    return layer.input_quantizer


@pytest.fixture
def conv() -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(3, 5, kernel_size=4, stride=4)


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(37, 6)


def test_conv_keeps_weights_within_half_a_step(conv: nn.Conv2d) -> None:
    quantized = step_conv(conv)
    assert quantized.weight.equal(conv.weight)
    codes, step = codes_of(quantized)
    assert codes.dtype == torch.int8
    assert codes.flatten(1).abs().amax(1).tolist() == [127] * 5
    error = (codes * step[:, None, None, None] - conv.weight).abs()
    assert (error <= 0.5001 * step[:, None, None, None]).all()
    x = torch.randn(2, 3, 16, 16)
    expected = nn.functional.conv2d(x, codes * step[:, None, None, None], conv.bias, stride=4)
    torch.testing.assert_close(quantized(x), expected)
    assert set(quantized.state_dict()) == {"weight", "bias"}


def test_conv_gradients_reach_weight_and_bias(conv: nn.Conv2d) -> None:
    quantized = step_conv(conv)
    quantized(torch.randn(2, 3, 8, 8)).square().sum().backward()
    for parameter in quantized.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0


def test_linear_multiplies_exact_codes(linear: nn.Linear) -> None:
    quantized = step_linear(linear).requires_grad_(False)
    inputs_of(quantized).shift.normal_(0, 0.1)
    x = torch.randn(4, 37)
    inputs_of(quantized).fit(x)
    step = inputs_of(quantized).step
    weight, weight_step = codes_of(quantized)
    codes = torch.round((x + inputs_of(quantized).shift) / step).clamp(-128, 127).to(torch.int64)
    assert codes.abs().max().item() == 127
    product = codes @ weight.to(torch.int64).T
    expected = product.float() * (weight_step * step) + linear.bias
    assert quantized(x).equal(expected)
    assert set(quantized.state_dict()) == {
        *("weight", "bias"),
        *("input_quantizer.base_step", "input_quantizer.log_step", "input_quantizer.shift"),
    }


def test_linear_in_stage_1_takes_the_real_input(linear: nn.Linear) -> None:
    quantized = step_linear(linear)
    inputs_of(quantized).set_activation_binarization(False)
    x = torch.randn(4, 37)
    weight, step = codes_of(quantized)
    expected = nn.functional.linear(x, weight * step[:, None], linear.bias)
    torch.testing.assert_close(quantized(x), expected)
    frozen = {name for name, p in quantized.named_parameters() if not p.requires_grad}
    assert frozen == {"input_quantizer.shift", "input_quantizer.log_step"}


def test_linear_under_autocast_is_exact(linear: nn.Linear) -> None:
    quantized = step_linear(linear).requires_grad_(False)
    x = torch.randn(4, 37)
    inputs_of(quantized).fit(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = quantized(x)
    assert under_autocast.equal(quantized(x))


def test_zero_weights_stay_finite() -> None:
    linear = nn.Linear(5, 3)
    nn.init.zeros_(linear.weight)
    quantized = step_linear(linear)
    y = quantized(torch.randn(2, 5))
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in quantized.parameters())


def test_the_steps_follow_the_weights(linear: nn.Linear) -> None:
    """The largest weight of a channel always has code 127, so that all 8 bits stay in use, and takes its gradient."""
    quantized = step_linear(linear)
    inputs_of(quantized).fit(torch.ones(1, 37))
    optimizer = torch.optim.Adam(quantized.parameters(), lr=3e-3)
    for _ in range(3):
        optimizer.zero_grad()
        quantized(0.5 + torch.rand(4, 37)).sum().backward()
        assert quantized.weight.grad is not None
        assert quantized.weight.grad.ne(0).all()
        optimizer.step()
        codes, step = codes_of(quantized)
        assert codes.abs().amax(1).tolist() == [127] * 6
        torch.testing.assert_close(step, quantized.weight.abs().amax(1) / 127)

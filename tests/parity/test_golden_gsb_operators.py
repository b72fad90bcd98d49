"""Operators of the authors' GSB release against ours, where release and paper coincide.

Differences that belong to the release alone are stated in each test; the importer's compatibility variant covers them.
"""

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bitvit.layers import QuantConv2d, QuantLinear, gsb_linear
from bitvit.quantizers import (
    MIN_SCALE,
    LearnedStepWeight,
    StepActivation,
    binary_weight,
    component_factors,
    gsb_attention,
    gsb_value,
    learned_round,
    learned_sign,
    learned_step,
    value_masks,
)
from tests.support.golden import GOLDEN, scale_gradient, set_scales

OPERATORS = GOLDEN / "ops" / "gsb.safetensors"

# Float32 on other machines sums in another order; values are of order 1.
CLOSE = {"rtol": 2e-6, "atol": 2e-6}


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(str(OPERATORS))


def case(golden: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.partition("/")[2]: value for key, value in golden.items() if key.startswith(f"{name}/")}


def grad_of(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def test_layerwise_weights(golden: dict[str, Tensor]) -> None:
    data = case(golden, "bwn_layerwise")
    weight = data["in.input"].clone().requires_grad_()
    y = binary_weight(weight)
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    torch.testing.assert_close(grad_of(weight), data["grad.input"], **CLOSE)


@pytest.mark.parametrize("name", ["elastic_signed_1", "elastic_signed_1_tinyalpha"])
def test_signed_activation(golden: dict[str, Tensor], name: str) -> None:
    """Release only: sign(0) = 0, and the scale's gradient is a sum over sqrt(numel), ours a sum over numel."""
    data = case(golden, name)
    nonzero = data["in.input"] != 0
    assert nonzero.all() == (name == "elastic_signed_1_tinyalpha")
    x, scale = data["in.input"][None].requires_grad_(), data["in.alpha"].clone().requires_grad_()
    y = learned_sign(x, scale + (scale.clamp_min(MIN_SCALE) - scale).detach())
    y.backward(data["grad_out"][None])
    torch.testing.assert_close(y[0][nonzero], data["out"][nonzero], **CLOSE)
    assert y[0][~nonzero].gt(0).all()
    assert data["out"][~nonzero].eq(0).all()
    torch.testing.assert_close(grad_of(x)[0], data["grad.input"], **CLOSE)
    zeros_part = data["grad_out"][~nonzero].sum() / x.numel()
    release = data["grad.alpha"] / x.numel() ** 0.5
    torch.testing.assert_close(grad_of(scale) - zeros_part, release, rtol=1e-4, atol=1e-6)


def test_nonnegative_activation(golden: dict[str, Tensor]) -> None:
    """Release only: the gradient's window includes 0 and the scale (Eq. 17 does not); sqrt(numel) as above."""
    data = case(golden, "elastic_unsigned_1")
    x, scale = data["in.input"][None].requires_grad_(), data["in.alpha"].clone().requires_grad_()
    y = learned_round(x, scale)
    y.backward(data["grad_out"][None])
    torch.testing.assert_close(y[0], data["out"], **CLOSE)
    bound = (data["in.input"] == 0) | (data["in.input"] == data["in.alpha"])
    assert bound.sum() == 3
    torch.testing.assert_close(grad_of(x)[0][~bound], data["grad.input"][~bound], **CLOSE)
    assert grad_of(x)[0][bound].eq(0).all()
    torch.testing.assert_close(data["grad.input"][bound], data["grad_out"][bound], **CLOSE)


def assert_same_pass(layer: nn.Linear | nn.Conv2d, data: dict[str, Tensor], name: str = "input") -> Tensor:
    """Compare output and gradients of input, weight and bias; return the input."""
    x = data[f"in.{name}"].clone().requires_grad_()
    y = layer(x)
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    torch.testing.assert_close(grad_of(x), data[f"grad.{name}"], **CLOSE)
    torch.testing.assert_close(grad_of(layer.weight), data["grad.weight"], **CLOSE)
    torch.testing.assert_close(grad_of(layer.bias), data["grad.bias"], **CLOSE)
    return x


@pytest.mark.parametrize(("name", "input_type"), [("linear_1_1_sym", "signed"), ("linear_1_1_asym", "nonnegative")])
def test_binary_linear(golden: dict[str, Tensor], name: str, input_type: str) -> None:
    """Release only: the input scale's gradient is divided by sqrt(numel of the batch), ours by numel of an image."""
    data = case(golden, name)
    layer = gsb_linear(20, 12, input_type=input_type)  # type: ignore[arg-type]
    layer.load_state_dict(
        {
            "weight": data["param.weight"],
            "bias": data["param.bias"],
            "input_quantizer.shift": data["param.move.bias"],
        },
        strict=False,
    )
    set_scales(layer, input_quantizer__scale=data["param.input_clip_val"])
    x = assert_same_pass(layer, data)
    torch.testing.assert_close(grad_of(layer.get_parameter("input_quantizer.shift")), data["grad.move.bias"], **CLOSE)
    factor = x.numel() ** 0.5 / x[0].numel()
    torch.testing.assert_close(
        scale_gradient(layer, "input_quantizer.scale"),
        factor * data["grad.input_clip_val"],
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize("name", ["conv2dq_w8", "conv2dq_w8_lazy"])
def test_patch_convolution(golden: dict[str, Tensor], name: str) -> None:
    """Release only: the steps' gradient counts the whole weight, ours one output channel (a factor sqrt(6) here)."""
    data = case(golden, name)
    layer = QuantConv2d.from_float(nn.Conv2d(3, 6, kernel_size=4, stride=4), weight=LearnedStepWeight(6), input=None)
    layer.load_state_dict({"weight": data["param.weight"], "bias": data["param.bias"]}, strict=False)
    set_scales(layer, weight_quantizer__step=data["param.alpha"])
    assert_same_pass(layer, data, "x")
    torch.testing.assert_close(
        scale_gradient(layer, "weight_quantizer.step"), 6**0.5 * data["grad.alpha"], rtol=1e-3, atol=1e-5
    )


def test_head(golden: dict[str, Tensor]) -> None:
    """Release only: the input step's gradient counts the whole batch, ours one image (a factor sqrt(3) here)."""
    data = case(golden, "linear_8_8_head")
    layer = QuantLinear.from_float(nn.Linear(20, 12), weight=LearnedStepWeight(), input=StepActivation(20))
    layer.load_state_dict(
        {
            "weight": data["param.weight"],
            "bias": data["param.bias"],
            "input_quantizer.shift": data["param.move.bias"],
        },
        strict=False,
    )
    set_scales(
        layer,
        input_quantizer__step=data["param.input_clip_val"],
        weight_quantizer__step=data["param.weight_clip_val"],
    )
    assert_same_pass(layer, data)
    torch.testing.assert_close(grad_of(layer.get_parameter("input_quantizer.shift")), data["grad.move.bias"], **CLOSE)
    torch.testing.assert_close(
        scale_gradient(layer, "weight_quantizer.step"), data["grad.weight_clip_val"], rtol=1e-4, atol=1e-5
    )
    expected = 3**0.5 * data["grad.input_clip_val"]
    torch.testing.assert_close(scale_gradient(layer, "input_quantizer.step"), expected, rtol=1e-4, atol=1e-5)


def test_eight_bit_activation(golden: dict[str, Tensor]) -> None:
    data = case(golden, "elastic_signed_8")
    x, step = data["in.input"].clone().requires_grad_(), data["in.alpha"].clone().requires_grad_()
    y = learned_step(x, step, group_size=x.numel())
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    torch.testing.assert_close(grad_of(x), data["grad.input"], **CLOSE)
    torch.testing.assert_close(grad_of(step), data["grad.alpha"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["elastic_attention", "elastic_attention_bigalpha"])
def test_attention(golden: dict[str, Tensor], name: str) -> None:
    """The release's threshold is of the whole tensor's maximum: taken as a single row, ours gives the same.

    Release only: that maximum, and the scales' gradients: a sum over sqrt(numel) for a_0, over a count of the mask for
    the others, where Eq. 14 and 15 have the mean.
    """
    data = case(golden, name)
    x = data["in.input"].reshape(1, 1, 1, -1).requires_grad_()
    scales = torch.stack([data["in.a"], data["in.a2"], data["in.a3"]]).requires_grad_()
    y = gsb_attention(x, scales)
    y.backward(data["grad_out"].reshape(1, 1, 1, -1))
    torch.testing.assert_close(y.reshape_as(data["out"]), data["out"], **CLOSE)
    torch.testing.assert_close(grad_of(x).reshape_as(data["out"]), data["grad.input"], **CLOSE)
    torch.testing.assert_close(grad_of(scales)[0], data["grad.a"] / x.numel() ** 0.5, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["elastic_qkv", "elastic_qkv_small"])
def test_value(golden: dict[str, Tensor], name: str) -> None:
    """The release's extremes are of the whole tensor: taken as a single image, ours gives the same values.

    Release only: those extremes; in the input's gradient an element outside M_i counts as inside the window of b_i (its
    V^i is 0), where Eq. 32 leaves it out; the scales' gradients as in `test_attention`.
    """
    data = case(golden, name)
    assert data["in.input"].ne(0).all()
    x = data["in.input"].reshape(1, -1, *data["in.input"].shape[2:]).requires_grad_()
    scales = torch.stack([data["in.a"], data["in.a2"], data["in.a3"]]).requires_grad_()
    y = gsb_value(x, scales)
    y.backward(data["grad_out"].reshape_as(x))
    torch.testing.assert_close(y.reshape_as(data["out"]), data["out"], **CLOSE)
    torch.testing.assert_close(grad_of(scales)[0], data["grad.a"] / x.numel() ** 0.5, rtol=1e-4, atol=1e-6)
    # Those windows explain all of the difference in the input's gradient.
    masked = torch.stack([x.detach(), *(x.detach() * mask for mask in value_masks(x, component_factors(2)))])
    windows = (masked.abs() < scales.detach().reshape(3, 1, 1, 1, 1)).sum(0)
    release = windows * data["grad_out"].reshape_as(x)
    torch.testing.assert_close(release.reshape_as(data["out"]), data["grad.input"], **CLOSE)

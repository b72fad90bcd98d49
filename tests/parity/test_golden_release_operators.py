"""Single operators of the GSB release: the compatibility variant that imported checkpoints run on."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from bitvit.layers import QuantConv2d, QuantLinear
from bitvit.models.reference.gsb_quantizers import (
    ReleaseRound,
    ReleaseSign,
    ReleaseStepActivation,
    ReleaseStepWeight,
    ReleaseWeight,
    elastic_sign,
    elastic_steps,
    initial_band_scales,
    release_attention,
    release_value,
)
from bitvit.quantizers import MIN_SCALE
from tests.support.golden import operator, scale_gradient, set_scales

CLOSE = {"rtol": 1e-5, "atol": 1e-5}  # float32 sums of some hundred values of order 1


def leaf(value: Tensor) -> Tensor:
    return value.clone().requires_grad_()


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("elastic_signed_1", None),
        ("elastic_signed_1_tinyalpha", None),
        ("elastic_signed_8", (-128, 127)),
        ("elastic_unsigned_1", (0, 1)),
    ],
)
def test_activations(name: str, bounds: tuple[int, int] | None) -> None:
    data = operator("gsb", name)
    x, alpha = leaf(data["in.input"]), leaf(data["in.alpha"])
    scale = alpha if bool(alpha > MIN_SCALE) else alpha + (MIN_SCALE - alpha).detach()
    y = elastic_sign(x, scale) if bounds is None else elastic_steps(x, scale, *bounds)
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    torch.testing.assert_close(x.grad, data["grad.input"], **CLOSE)
    torch.testing.assert_close(alpha.grad, data["grad.alpha"], **CLOSE)


def test_weights() -> None:
    data = operator("gsb", "bwn_layerwise")
    weight = leaf(data["in.input"])
    signs, scale = ReleaseWeight()(weight)
    assert scale is not None
    y = signs * scale
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    torch.testing.assert_close(weight.grad, data["grad.input"], **CLOSE)


@pytest.mark.parametrize(
    ("name", "signed"),
    [
        ("elastic_attention", False),
        ("elastic_attention_bigalpha", False),
        ("elastic_qkv", True),
        ("elastic_qkv_small", True),
    ],
)
def test_superposition(name: str, signed: bool) -> None:
    data = operator("gsb", name)
    x = leaf(data["in.input"])
    scales = leaf(torch.stack([data["in.a"], data["in.a2"], data["in.a3"]]))
    y = (release_value if signed else release_attention)(x, scales, "batch")
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    torch.testing.assert_close(x.grad, data["grad.input"], **CLOSE)
    expected = torch.stack([data["grad.a"], data["grad.a2"], data["grad.a3"]])
    torch.testing.assert_close(scales.grad, expected, **CLOSE)


@pytest.mark.parametrize(("name", "signed"), [("lazy_attention", False), ("lazy_qkv", True)])
def test_first_pass_of_superposition(name: str, signed: bool) -> None:
    data = operator("gsb", name)
    x, function = data["in.input"], release_value if signed else release_attention
    scales = initial_band_scales(x, signed, "batch")
    torch.testing.assert_close(scales, data["alpha_stored"], **CLOSE)
    torch.testing.assert_close(function(x, scales, "batch", exclusive=True), data["out_first"], **CLOSE)
    torch.testing.assert_close(function(x, scales, "batch"), data["out_second"], **CLOSE)


def test_empty_bands_have_finite_initial_values() -> None:
    assert torch.isfinite(initial_band_scales(torch.zeros(1, 1, 3, 3), False, "batch")).all()
    assert torch.isfinite(initial_band_scales(torch.zeros(1, 1, 3, 3), True, "image")).all()


@pytest.mark.parametrize(
    ("name", "factor", "bounds"),
    [
        ("lazy_signed_1", 2.0, None),
        ("lazy_unsigned_1", 4.0, (0, 1)),
        ("lazy_signed_8", 2 / math.sqrt(127), (-128, 127)),
    ],
)
def test_first_values_of_activations(name: str, factor: float, bounds: tuple[int, int] | None) -> None:
    data = operator("gsb", name)
    scale = factor * data["in.input"].abs().mean()
    torch.testing.assert_close(scale, data["alpha_stored"][0], **CLOSE)
    y = elastic_sign(data["in.input"], scale) if bounds is None else elastic_steps(data["in.input"], scale, *bounds)
    torch.testing.assert_close(y, data["out_first"], **CLOSE)


@pytest.mark.parametrize("name", ["conv2dq_w8", "conv2dq_w8_lazy"])
def test_patch_convolution(name: str) -> None:
    data = operator("gsb", name)
    module = QuantConv2d.from_float(nn.Conv2d(3, 6, 4, 4), weight=ReleaseStepWeight(6), input=None)
    parameters = {"weight": module.weight, "bias": module.bias}
    with torch.no_grad():
        for theirs, parameter in parameters.items():
            assert parameter is not None
            parameter.copy_(data[f"param.{theirs}"])
    set_scales(module, weight_quantizer__step=data["param.alpha"])
    if name.endswith("lazy"):
        module.fit_weight()
        torch.testing.assert_close(module.weight_quantizer.steps(module.weight), data["param.alpha"], **CLOSE)
    x = leaf(data["in.x"])
    y = module(x)
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    torch.testing.assert_close(x.grad, data["grad.x"], **CLOSE)
    for theirs, parameter in parameters.items():
        assert parameter is not None
        torch.testing.assert_close(parameter.grad, data[f"grad.{theirs}"], **CLOSE)
    torch.testing.assert_close(scale_gradient(module, "weight_quantizer.step"), data["grad.alpha"], **CLOSE)


@pytest.mark.parametrize("name", ["linear_1_1_sym", "linear_1_1_asym", "linear_8_8_head"])
def test_linear(name: str) -> None:
    data = operator("gsb", name)
    names = {"weight": "weight", "bias": "bias", "move.bias": "input_quantizer.shift"}
    if name == "linear_8_8_head":
        module = QuantLinear(20, 12, weight=ReleaseStepWeight(), input=ReleaseStepActivation(20))
        scales = {"input_clip_val": "input_quantizer.step", "weight_clip_val": "weight_quantizer.step"}
    else:
        inputs = (ReleaseSign if name.endswith("_sym") else ReleaseRound)((20,))
        module = QuantLinear(20, 12, weight=ReleaseWeight(), input=inputs)
        scales = {"input_clip_val": "input_quantizer.scale"}
    parameters = {theirs: module.get_parameter(ours) for theirs, ours in names.items()}
    with torch.no_grad():
        for theirs, parameter in parameters.items():
            parameter.copy_(data[f"param.{theirs}"])
    set_scales(module, **{ours.replace(".", "__"): data[f"param.{theirs}"] for theirs, ours in scales.items()})
    x = leaf(data["in.input"])
    y = module(x)
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    torch.testing.assert_close(x.grad, data["grad.input"], **CLOSE)
    for theirs, parameter in parameters.items():
        torch.testing.assert_close(parameter.grad, data[f"grad.{theirs}"], **CLOSE)
    for theirs, ours in scales.items():
        torch.testing.assert_close(scale_gradient(module, ours), data[f"grad.{theirs}"], **CLOSE)

"""Single operators of the BinaryViT and BHViT releases: values and gradients, with edge values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitvit.layers.channel_affine import ChannelAffine
from bitvit.layers.dilated_mixer import DilatedMixer
from bitvit.layers.maps import average_pool, channel_quarter_shift, nearest_upsample, roll_mean
from bitvit.layers.quant_conv import QuantConv2d
from bitvit.layers.react_linear import ReactOptions
from bitvit.layers.rprelu import RPReLU
from bitvit.layers.token_norm import TokenBatchNorm
from bitvit.layers.window_attention import WindowTokens, join_windows
from bitvit.models import set_stage
from bitvit.quantizers.banded_mask import banded_mask
from bitvit.quantizers.channelwise_weight import ChannelSignWeight, channelwise_weight_signs
from bitvit.quantizers.clipped_mask import clipped_mask
from bitvit.quantizers.decomposition import decompose_attention, initial_decomposition
from bitvit.quantizers.triangular_sign import ShiftedSign, triangular_sign
from tests.support.golden import operator

# Float32 sums in another order; values are of order 1 to 10.
CLOSE = {"rtol": 3e-6, "atol": 3e-6}
FAMILIES = ["binaryvit", "bhvit"]
RELEASE = ReactOptions(sign_of_zero="zero")


def conv(channels: int, outputs: int, kernel: int, *, centre: bool = True, **kwargs: int) -> QuantConv2d:
    """A binary convolution of maps with the releases' sign of zero."""
    inputs = ShiftedSign(channels, "zero")
    return QuantConv2d(channels, outputs, kernel, weight=ChannelSignWeight(centre, "zero"), input=inputs, **kwargs)


def leaf(value: Tensor) -> Tensor:
    return value.clone().requires_grad_()


def check_module(
    module: nn.Module, data: dict[str, Tensor], parameters: dict[str, str], x_name: str, maps: bool = False
) -> None:
    """Load parameters (ours by theirs), run on the input, compare the output and every gradient."""
    own = dict(module.named_parameters())
    with torch.no_grad():
        for theirs, ours in parameters.items():
            own[ours].copy_(data[f"param.{theirs}"].reshape(own[ours].shape))
    to_last = (lambda t: t.permute(0, 2, 3, 1)) if maps else (lambda t: t)
    x = leaf(data[f"in.{x_name}"])
    y = module(to_last(x))
    expected = to_last(data["out"]) if data["out"].dim() == 4 else data["out"]
    torch.testing.assert_close(y, expected, **CLOSE)
    y.backward(to_last(data["grad_out"]) if data["grad_out"].dim() == 4 else data["grad_out"])
    assert x.grad is not None
    # Gradients are sums of some hundred products.
    torch.testing.assert_close(x.grad, data[f"grad.{x_name}"], rtol=1e-5, atol=2e-5)
    for theirs, ours in parameters.items():
        gradient = own[ours].grad
        assert gradient is not None
        expected = data[f"grad.{theirs}"].reshape(gradient.shape)
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=3e-5 * float(expected.abs().max().clamp_min(1)))


@pytest.mark.parametrize("family", FAMILIES)
def test_triangular_sign(family: str) -> None:
    data = operator(family, "binary_quantizer")
    x = leaf(data["in.input"])
    y = triangular_sign(x, "zero")
    y.backward(data["grad_out"])
    assert torch.equal(y, data["out"])
    torch.testing.assert_close(x.grad, data["grad.input"], **CLOSE)
    ours = triangular_sign(data["in.input"])
    assert torch.equal(ours, torch.where(data["out"] == 0, torch.ones(()), data["out"]))


@pytest.mark.parametrize("family", FAMILIES)
def test_clipped_mask(family: str) -> None:
    data = operator(family, "bit_binary_quantizer")
    x, clip = leaf(data["in.input"]), leaf(data["in.clip_val"])
    y = clipped_mask(x, clip) * clip
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    torch.testing.assert_close(x.grad, data["grad.input"], **CLOSE)
    torch.testing.assert_close(clip.grad, data["grad.clip_val"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("width", [20, 64, 130])
def test_binary_linear(family: str, width: int) -> None:
    module = RELEASE.make_linear(width, 12)
    check_module(module, operator(family, f"linear_w1a1_k{width}"), {"weight": "weight"}, "input")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("width", [20, 64, 130])
def test_binary_weights_with_real_input(family: str, width: int) -> None:
    module = RELEASE.make_linear(width, 12)
    set_stage(module, "weights")
    check_module(module, operator(family, f"linear_w1a32_k{width}"), {"weight": "weight"}, "input")


@pytest.mark.parametrize("family", FAMILIES)
def test_binary_linear_with_bias(family: str) -> None:
    """No network here has a bias in such a layer: the quantizers are composed directly."""
    data = operator(family, "linear_w1a1_bias")
    x, weight, bias = (leaf(data[name]) for name in ("in.input", "param.weight", "param.bias"))
    signs, scale = channelwise_weight_signs(weight, sign_of_zero="zero")
    y = F.linear(triangular_sign(x, "zero"), signs) * scale + bias
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    for tensor, name in ((x, "input"), (weight, "weight"), (bias, "bias")):
        torch.testing.assert_close(tensor.grad, data[f"grad.{name}"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [20, 64, 130])
def test_recu_linear(width: int) -> None:
    module = ReactOptions(recu=True, sign_of_zero="zero").make_linear(width, 12)
    check_module(module, operator("bhvit", f"linear_w1a1_recu_k{width}"), {"weight": "weight"}, "input")


@pytest.mark.parametrize("dilation", [1, 3, 5])
def test_grouped_dilated_convolution(dilation: int) -> None:
    module = conv(8, 8, 3, padding=dilation, dilation=dilation, groups=4)
    data = operator("bhvit", f"conv2d_w1a1_same_d{dilation}_g4")
    check_module(module, data, {"weight": "weight", "bias": "bias"}, "input", maps=True)


@pytest.mark.parametrize(("family", "centre"), [("bhvit", True), ("binaryvit", False)])
def test_patch_convolution(family: str, centre: bool) -> None:
    data = operator(family, "conv2d_w1a1_patch")
    out, channels = data["param.weight"].shape[:2]
    module = conv(channels, out, 2, stride=2, bias=False, centre=centre)
    check_module(module, data, {"weight": "weight"}, "input", maps=True)


def test_padding_follows_the_sign() -> None:
    data = operator("binaryvit", "conv2d_w1a1_pad1")
    out, channels = data["param.weight"].shape[:2]
    module = conv(channels, out, 3, padding=1, centre=False)
    check_module(module, data, {"weight": "weight", "bias": "bias"}, "input", maps=True)


@pytest.mark.parametrize("name", ["gsb_attention", "gsb_attention_bigclip"])
def test_banded_mask(name: str) -> None:
    data = operator("bhvit", name)
    x = leaf(data["in.input"])
    scale, lower, upper = (leaf(data[f"in.{key}"]) for key in ("a", "a2", "a3"))
    y = banded_mask(x, scale, lower, upper) * scale
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    torch.testing.assert_close(x.grad, data["grad.input"], **CLOSE)
    for tensor, key in ((scale, "a"), (lower, "a2"), (upper, "a3")):
        torch.testing.assert_close(tensor.grad, data[f"grad.{key}"], rtol=1e-5, atol=1e-5)


def test_quantization_decomposition() -> None:
    """The golden input is already multiplied by 3; bounds of the clamp are inclusive."""
    data = operator("bhvit", "binact_attention_eval")
    x, step, zero = (leaf(data[name]) for name in ("in.x", "param.alpha", "param.zero_point"))
    levels, scale = decompose_attention(x / 3, step, zero)
    (levels * scale).backward(data["grad_out"])
    torch.testing.assert_close(levels * scale, data["out"], **CLOSE)
    assert set(levels.unique().tolist()) == {0, 1, 2, 3}
    for tensor, key in ((x, "x"), (step, "alpha"), (zero, "zero_point")):
        torch.testing.assert_close(tensor.grad, data[f"grad_inclusive_clamp.{key}"], rtol=1e-5, atol=1e-5)


def test_first_values_of_the_decomposition() -> None:
    data = operator("bhvit", "binact_attention_lazy")
    step, zero = initial_decomposition(data["in.x"] / 3, data["zero_point_before"])
    torch.testing.assert_close(step, data["param.alpha"], **CLOSE)
    torch.testing.assert_close(zero, data["param.zero_point"], **CLOSE)
    levels, scale = decompose_attention(data["in.x"] / 3, step, zero)
    torch.testing.assert_close(levels * scale, data["out"], **CLOSE)


@pytest.mark.parametrize("side", [7, 14, 21])
def test_window_tokens(side: int) -> None:
    names = {"a1": "mix", "norm.weight": "norm.weight", "norm.bias": "norm.bias"}
    check_module(WindowTokens(8, 7), operator("bhvit", f"token_fa_{side}"), names, "x", maps=True)


def check_function(function: Callable[[Tensor], Tensor], data: dict[str, Tensor], maps: bool = True) -> None:
    x = leaf(data["in.x"])
    y = function(x.permute(0, 2, 3, 1) if maps else x).permute(0, 3, 1, 2)
    y.backward(data["grad_out"])
    torch.testing.assert_close(y, data["out"], **CLOSE)
    torch.testing.assert_close(x.grad, data["grad.x"], **CLOSE)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("axis", [1, 2])
def test_shift_means(size: int, axis: int) -> None:
    check_function(lambda x: roll_mean(x, axis, size // 2), operator("bhvit", f"shift{size}_dim{axis + 1}"))


@pytest.mark.parametrize("distance", [1, 2])
def test_channel_shift(distance: int) -> None:
    data = operator("bhvit", f"shift_channel_mix{distance}")
    check_function(lambda x: channel_quarter_shift(x, distance), data)


def test_joining_windows() -> None:
    data = operator("bhvit", "window_reverse")
    size = (data["out"].shape[2], data["out"].shape[3])
    windows = size[0] // 7 * (size[1] // 7)
    check_function(lambda x: join_windows(x.view(-1, windows, 49, x.shape[-1]), 7, size), data, maps=False)


def test_spreading_summaries() -> None:
    data = operator("bhvit", "window_reverse_high")
    size = (data["out"].shape[2], data["out"].shape[3])
    side = size[0] // 7

    def spread(x: Tensor) -> Tensor:
        mean = x.view(-1, side * side, side * side, x.shape[-1]).mean(dim=1)
        return nearest_upsample(mean.view(-1, side, side, x.shape[-1]), size)

    check_function(spread, data, maps=False)


def test_dilated_mixer() -> None:
    data = operator("bhvit", "token_mixer")
    names = {"move.bias": "sign.shift", "norm.weight": "norm.weight", "norm.bias": "norm.bias"}
    for index in range(3):
        names |= {f"cov{index + 1}.{name}": f"convs.{index}.{name}" for name in ("weight", "bias")}
        leaves = (("move1", "before"), ("prelu.weight", "slope"), ("move2", "after"))
        names |= {f"act{index + 1}.{theirs}": f"activations.{index}.{ours}" for theirs, ours in leaves}
    check_module(DilatedMixer(8, ReactOptions(sign_of_zero="zero")).eval(), data, names, "x", maps=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_rprelu(family: str) -> None:
    names = {"move1": "before", "prelu.weight": "slope", "move2": "after"}
    check_module(RPReLU(9), operator(family, "rprelu"), names, "x")


@pytest.mark.parametrize("family", FAMILIES)
def test_channel_affine(family: str) -> None:
    check_module(ChannelAffine(9, 0.1), operator(family, "layerscale"), {"alpha": "scale", "move": "shift"}, "x")


@pytest.mark.parametrize("family", FAMILIES)
def test_batch_norm_in_training(family: str) -> None:
    data = operator(family, "batchnormt_train")
    module = TokenBatchNorm(6)
    assert module.running_mean is not None
    assert module.running_var is not None
    module.running_mean.copy_(data["running_mean_before"])
    module.running_var.copy_(data["running_var_before"])
    check_module(module.train(), data, {"weight": "weight", "bias": "bias"}, "x")
    torch.testing.assert_close(module.running_mean, data["running_mean_after"], **CLOSE)
    torch.testing.assert_close(module.running_var, data["running_var_after"], **CLOSE)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("along", ["h", "w"])
def test_average_pooling_branches(kernel: int, along: str) -> None:
    data = operator("binaryvit", f"avg_res_{along}{kernel}")
    shape, pad = ((kernel, 1), (kernel // 2, 0)) if along == "h" else ((1, kernel), (0, kernel // 2))
    check_function(lambda x: average_pool(x, shape, (1, 1), pad), data)

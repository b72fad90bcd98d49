"""Each packed layer computes what its trainable twin computes, on forced inputs, up to rounding.

A bit may differ where an input lies within rounding of a threshold, and then a whole output moves by one product's
worth; the inputs here are seeded and far enough from thresholds that none does.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bitvit import layers
from bitvit.export import ExportError
from bitvit.layers import (
    BinaryDownsampling,
    ChannelAffine,
    DilatedMixer,
    FloatDownsampling,
    PoolingBranches,
    QuantConv2d,
    QuantLinear,
    ReactAttention,
    ReactLinear,
    ReactOptions,
    RPReLU,
    ShiftBranches,
    TokenBatchNorm,
    WindowAttention,
    gsb_linear,
    packed_form,
    step_linear,
)
from bitvit.models import BinarizationScheme, binarize, create_model
from bitvit.quantizers import (
    BandedAttention,
    ChannelSignWeight,
    LearnedSign,
    LowBitActivation,
    LowBitWeight,
    RealActivation,
    TensorSignWeight,
    XnorAttention,
)
from tests.support.random_models import perturb

OPTIONS = ReactOptions()

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "linear": (gsb_linear(20, 9), (2, 5, 20)),
    "linear without bias": (gsb_linear(64, 9, bias=False), (2, 5, 64)),
    "linear type A": (gsb_linear(33, 9, input_type="nonnegative"), (2, 5, 33)),
    "linear type A by sign": (gsb_linear(33, 9, input_type="nonnegative", type_a="sign"), (2, 5, 33)),
    "linear xnor": (gsb_linear(20, 9, statistics="xnor"), (3, 5, 20)),
    "linear xnor type A": (gsb_linear(20, 9, input_type="nonnegative", statistics="xnor"), (3, 5, 20)),
    "8-bit linear": (step_linear(nn.Linear(20, 9)), (2, 20)),
    "8-bit linear of tokens": (step_linear(nn.Linear(20, 9)), (2, 5, 20)),
    "channel weights on a learned scale": (
        QuantLinear(20, 9, weight=ChannelSignWeight(), input=LearnedSign((20,))),
        (2, 4, 3, 20),
    ),
    "convolution on a learned scale": (
        QuantConv2d(12, 8, 3, padding=2, dilation=2, groups=2, weight=TensorSignWeight(), input=LearnedSign((12,))),
        (2, 5, 4, 12),
    ),
    "batch norm": (TokenBatchNorm(12), (2, 5, 12)),
    "affine": (ChannelAffine(12, 0.1), (2, 4, 4, 12)),
    "rprelu": (RPReLU(12), (2, 4, 4, 12)),
    "react linear": (ReactLinear(16, 16, OPTIONS), (2, 5, 16)),
    "react linear expanding": (ReactLinear(12, 36, OPTIONS), (2, 5, 12)),
    "react linear contracting": (ReactLinear(36, 12, OPTIONS), (2, 4, 4, 36)),
    "react linear layer norm": (ReactLinear(16, 16, ReactOptions(norm="layer")), (2, 5, 16)),
    "pooling branches": (PoolingBranches(12), (2, 4, 6, 12)),
    "shift branches": (ShiftBranches(12), (2, 4, 6, 12)),
    "shift branches on one cell": (ShiftBranches(8), (2, 1, 1, 8)),
    "dilated mixer": (DilatedMixer(12, OPTIONS), (2, 7, 5, 12)),
    "binary downsampling": (BinaryDownsampling(12, 24, (2, 3), OPTIONS, centre=True), (2, 4, 6, 12)),
    "float downsampling": (FloatDownsampling(12, 24, (2, 3), OPTIONS), (2, 4, 6, 12)),
    "window attention": (WindowAttention(24, 3, 3, OPTIONS), (2, 6, 3, 24)),
    "window attention of one window": (WindowAttention(24, 2, 3, OPTIONS), (2, 3, 3, 24)),
    "window attention with bands": (WindowAttention(24, 2, 3, OPTIONS, attention=BandedAttention()), (2, 6, 6, 24)),
}


def _attention(**choices: object) -> nn.Module:
    scheme = BinarizationScheme(**choices)  # type: ignore[arg-type]
    attention: nn.Module = binarize(create_model("deit_test_distilled_patch4_16"), scheme).blocks[0].attn
    return attention


SCHEMES: dict[str, dict[str, object]] = {
    "gsb": {},
    "xnor": {
        **{"gsb_attention": False, "gsb_value": False, "components_attention": 0, "components_value": 0},
        **{"offset": "none", "linear_statistics": "xnor"},
    },
    "more components": {"components_attention": 4, "components_value": 1},
    "row offset": {"offset": "row"},
    "sign": {"type_a": "sign"},
    "mask base": {"base_map": "mask"},
}


def _prepare(layer: nn.Module, x: Tensor, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in layer.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.5)
    perturb(layer, seed)
    layer.eval()
    layers.calibrate(layer, x)


def _compare(layer: nn.Module, x: Tensor, *arguments: object) -> None:
    with torch.no_grad():
        expected = layer(x, *arguments)
        packed = packed_form(layer)
        assert packed is not None
        found = packed(x, *arguments)
    assert found.shape == expected.shape
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("name", LAYERS)
def test_packed_layer_agrees(name: str) -> None:
    layer, shape = LAYERS[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(7))
    _prepare(layer, x, seed=3)
    _compare(layer, x)


@pytest.mark.parametrize("name", SCHEMES)
def test_packed_gsb_attention_agrees(name: str) -> None:
    layer = _attention(**SCHEMES[name])
    x = torch.randn((3, 18, 32), generator=torch.Generator().manual_seed(7))
    _prepare(layer, x, seed=4)
    _compare(layer, x)


@pytest.mark.parametrize("phase", [1, 2])
def test_packed_xnor_attention_agrees_in_both_phases(phase: int) -> None:
    layer = _attention(**SCHEMES["xnor"])
    assert isinstance(layer.attention, XnorAttention)
    layer.attention.set_phase(phase)
    x = torch.randn((3, 18, 32), generator=torch.Generator().manual_seed(8))
    _prepare(layer, x, seed=5)
    _compare(layer, x)


@pytest.mark.parametrize("reduction", [1, 2])
def test_packed_react_attention_agrees(reduction: int) -> None:
    layer = ReactAttention(24, 2, OPTIONS, reduction=reduction)
    x = torch.randn((2, 24, 24), generator=torch.Generator().manual_seed(9))
    torch.manual_seed(6)
    perturb(layer, 6)
    layer.eval()
    _compare(layer, x, (4, 6))


def test_a_stage_1_layer_cannot_be_packed() -> None:
    layer = gsb_linear(8, 8)
    assert layer.input_quantizer is not None
    layer.input_quantizer.set_activation_binarization(False)
    with pytest.raises(ExportError, match="stage 2"):
        packed_form(layer)


@pytest.mark.parametrize(
    "layer",
    [
        QuantLinear(8, 8, weight=LowBitWeight(2), input=LowBitActivation(2)),
        QuantLinear(8, 8, weight=TensorSignWeight(), input=LowBitActivation(1)),
        QuantLinear(8, 8, weight=TensorSignWeight(), input=RealActivation()),
        QuantLinear(8, 8, weight=TensorSignWeight(), input=None),
        QuantLinear(8, 8, weight=step_linear(nn.Linear(8, 8)).weight_quantizer, input=LearnedSign((8,))),
    ],
    ids=str,
)
def test_estimators_without_packed_form_say_so(layer: QuantLinear) -> None:
    with pytest.raises(ExportError, match="has no packed form") as caught:
        packed_form(layer)
    assert "\n" not in str(caught.value)

"""BinaryViT: the parts against their formulas, written out with loops, and the network's contracts."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor

from bitvit.errors import UsageError
from bitvit.layers.react_attention import ReactAttention
from bitvit.layers.react_branches import PoolingBranches
from bitvit.layers.react_downsampling import BinaryDownsampling, FloatDownsampling
from bitvit.layers.react_linear import ReactLinear, ReactMlp, ReactOptions
from bitvit.models.binaryvit import BinaryVit
from tests.support.random_models import assert_stages_switch, perturb

OPTIONS = ReactOptions()
CLOSE = {"rtol": 1e-9, "atol": 1e-9}  # float64
SIZES = {
    "patch_size": 2,
    "embed_dims": (8, 16, 32, 64),
    "depths": (1, 2, 1, 1),
    "num_heads": (2, 1, 4, 2),
    "mlp_dims": (16, 64, 32, 128),
    "reductions": (4, 2, 1, 1),
    "num_classes": 5,
}


def sign(x: Tensor) -> Tensor:
    return torch.where(x < 0, -1.0, 1.0).to(x.dtype)


def binary(weight: Tensor) -> Tensor:
    rows = weight.flatten(1)
    scaled = rows.abs().mean(1, keepdim=True) * sign(rows - rows.mean(1, keepdim=True))
    return scaled.view_as(weight)


def prepared(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    perturb(module, seed)
    return module.double().eval()


@pytest.mark.parametrize(("inputs", "outputs"), [(6, 6), (6, 18), (18, 6)])
def test_unit(inputs: int, outputs: int) -> None:
    unit = prepared(ReactLinear(inputs, outputs, OPTIONS), 1)
    assert isinstance(unit, ReactLinear)
    x = torch.randn(2, 5, inputs, dtype=torch.float64)
    norm, act = unit.norm, unit.activation
    product = sign(x + unit.linear.get_parameter("input_quantizer.shift")) @ binary(unit.linear.weight).T
    normed = (product - norm.running_mean) / torch.sqrt(norm.running_var + 1e-5) * norm.weight + norm.bias
    residual = torch.empty(2, 5, outputs, dtype=torch.float64)
    for o in range(outputs):
        if outputs >= inputs:
            residual[..., o] = x[..., o % inputs]
        else:
            residual[..., o] = x[..., 3 * o : 3 * o + 3].mean(-1)
    t = normed + residual - act.before
    torch.testing.assert_close(unit(x), torch.where(t > 0, t, act.slope * t) + act.after, **CLOSE)


def test_pooling_branches() -> None:
    branches = prepared(PoolingBranches(3, (3, 5)), 2)
    assert isinstance(branches, PoolingBranches)
    x = torch.randn(1, 4, 6, 3, dtype=torch.float64)
    expected = torch.zeros_like(x)
    for index, kernel in enumerate((3, 5)):
        for i in range(4):
            for j in range(6):
                rows = [x[0, i + d, j] for d in range(-(kernel // 2), kernel // 2 + 1) if 0 <= i + d < 4]
                columns = [x[0, i, j + d] for d in range(-(kernel // 2), kernel // 2 + 1) if 0 <= j + d < 6]
                for values, affine in ((rows, branches.along_height[index]), (columns, branches.along_width[index])):
                    expected[0, i, j] += torch.stack(values).sum(0) / kernel * affine.scale + affine.shift
    torch.testing.assert_close(branches(x), expected, **CLOSE)


def test_reduced_attention_sees_pooled_tokens() -> None:
    """Queries keep the resolution; a change inside one pooling cell that keeps its mean changes no key."""
    attention = prepared(ReactAttention(8, 2, OPTIONS, reduction=2), 3)
    assert isinstance(attention, ReactAttention)
    x = torch.randn(1, 16, 8, dtype=torch.float64)
    keys: list[Tensor] = []
    attention.key.register_forward_hook(lambda _m, _i, y: keys.append(y))
    y = attention(x, (4, 4))
    assert y.shape == x.shape
    changed = x.clone()
    changed[0, 0] += 3
    changed[0, 5] -= 3  # the same 2 x 2 cell
    attention(changed, (4, 4))
    assert keys[0].shape == (1, 4, 8)
    torch.testing.assert_close(keys[0], keys[1], **CLOSE)


@pytest.mark.parametrize("binary_layer", [True, False])
def test_downsampling(binary_layer: bool) -> None:
    layer: BinaryDownsampling | FloatDownsampling
    if binary_layer:
        layer = BinaryDownsampling(4, 8, (2, 3), OPTIONS, centre=False)
    else:
        layer = FloatDownsampling(4, 8, (2, 3), OPTIONS)
    prepared(layer, 4)
    x = torch.randn(1, 4, 6, 4, dtype=torch.float64)
    h = layer.norm_in(x)
    expected = torch.empty(1, 2, 3, 8, dtype=torch.float64)
    for i in range(2):
        for j in range(3):
            cell = h[0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]  # [2, 2, C]
            if isinstance(layer, BinaryDownsampling):
                rows = layer.conv.weight.flatten(1)
                weight = (rows.abs().mean(1, keepdim=True) * sign(rows)).view_as(layer.conv.weight)
                bits = sign(cell + layer.conv.get_parameter("input_quantizer.shift"))
                product = layer.norm_out(torch.einsum("hwc,ochw->o", bits, weight)[None])[0]
                expected[0, i, j] = layer.activation(product + cell.mean((0, 1)).repeat(2))
            else:
                expected[0, i, j] = layer.norm_out(torch.einsum("hwc,ochw->o", cell, layer.conv.weight)[None])[0]
    expected = expected + layer.position.embedding.view(1, 2, 3, 8)
    torch.testing.assert_close(layer(x), expected, **CLOSE)


@pytest.mark.parametrize("size", [16, 32, 48, (16, 32)])
def test_other_image_sizes(size: int | tuple[int, int]) -> None:
    model = BinaryVit(img_size=size, **SIZES).eval()
    height, width = (size, size) if isinstance(size, int) else size
    assert model(torch.randn(2, 3, height, width)).shape == (2, 5)
    assert model.forward_features(torch.randn(1, 3, height, width)).shape == (1, height // 16, width // 16, 64)


def test_impossible_sizes_are_explained() -> None:
    with pytest.raises(UsageError, match="multiples of 16"):
        BinaryVit(img_size=24, **SIZES)
    with pytest.raises(UsageError, match="multiples of 32"):
        BinaryVit(img_size=200)
    with pytest.raises(UsageError, match="multiple of the one before"):
        BinaryVit(img_size=32, **(SIZES | {"embed_dims": (8, 12, 24, 48), "mlp_dims": (16, 24, 48, 96)}))
    with pytest.raises(UsageError, match="no residual"):
        ReactMlp(8, 20, OPTIONS)
    with pytest.raises(UsageError, match="3 heads"):
        ReactAttention(8, 3, OPTIONS)


def test_features_of_every_stage() -> None:
    model = timm.create_model("test_binaryvit", features_only=True, out_indices=(0, 2, 3)).eval()
    maps = model(torch.randn(2, 3, 16, 16))
    assert [tuple(m.shape) for m in maps] == [(2, 8, 8, 8), (2, 32, 2, 2), (2, 64, 1, 1)]
    assert model.feature_info.channels() == [8, 32, 64]
    assert model.feature_info.reduction() == [2, 8, 16]


def test_intermediate_maps_match_the_stages() -> None:
    torch.manual_seed(7)
    model = timm.create_model("test_binaryvit").eval()
    images = torch.randn(2, 3, 16, 16)
    final, maps = model.forward_intermediates(images, norm=True, output_fmt="NHWC")
    torch.testing.assert_close(final, model.forward_features(images))
    torch.testing.assert_close(maps[-1], final)
    assert len(model.forward_intermediates(images, indices=2, intermediates_only=True)) == 2


def test_stages_switch_activations() -> None:
    torch.manual_seed(8)
    model = timm.create_model("test_binaryvit").eval()
    assert_stages_switch(model, torch.randn(2, 3, 16, 16))

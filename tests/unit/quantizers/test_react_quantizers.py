"""Quantizers of BinaryViT and BHViT: exact bits, thresholds and gradients at edge values."""

from __future__ import annotations

import torch

from bitvit.layers.react_attention import AttentionCore
from bitvit.layers.react_linear import ReactOptions
from bitvit.quantizers.banded_mask import band_maps
from bitvit.quantizers.channelwise_weight import channelwise_weight_signs
from bitvit.quantizers.clipped_mask import clipped_mask
from bitvit.quantizers.decomposition import DecomposedAttention, decompose_attention
from bitvit.quantizers.triangular_sign import triangular_sign


def test_sign_of_zero() -> None:
    x = torch.tensor([-1.0, -0.0, 0.0, 1e-38, -1e-38])
    assert triangular_sign(x).tolist() == [-1, 1, 1, 1, -1]
    assert triangular_sign(x, "zero").tolist() == [-1, 0, 0, 1, -1]


def test_triangular_gradient() -> None:
    x = torch.tensor([-2.0, -1.0, -0.25, 0.0, 0.5, 1.0, 3.0], requires_grad=True)
    triangular_sign(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 1.5, 2, 1, 0, 0]


def test_clipped_mask_is_exact_and_strict() -> None:
    """Not a sum that only rounds to a bit: products with it must be integers."""
    torch.manual_seed(1)
    p = torch.rand(1000)
    clip = torch.tensor(0.3)
    assert set(clipped_mask(p, clip).tolist()) == {0.0, 1.0}
    edge = torch.tensor([0.0, 0.25, 0.5, 0.5000001, 1.0, 1.5], requires_grad=True)
    mask = clipped_mask(edge, torch.tensor(1.0))
    assert mask.tolist() == [0, 0, 0, 1, 1, 1]
    mask.sum().backward()
    assert edge.grad is not None
    assert edge.grad.tolist() == [1, 1, 1, 1, 1, 0]


def test_levels_are_whole_numbers() -> None:
    torch.manual_seed(2)
    levels, _ = decompose_attention(torch.rand(2, 3, 5, 7), torch.full((3,), 0.7), torch.full((3,), 0.1))
    assert set(levels.flatten().tolist()) == {0.0, 1.0, 2.0, 3.0}


def test_bands_exclude_each_other() -> None:
    p = torch.tensor([[0.1, 0.71, 0.7, 0.91, 0.9, 1.0]])
    base, lower, upper = band_maps(p, torch.tensor(1.5))
    assert lower.tolist() == [[0, 1, 0, 0, 1, 0]]
    assert upper.tolist() == [[0, 0, 0, 1, 0, 1]]
    assert base.tolist() == [[0, -1, 0, 0, 0, 0]]  # 0.75 is the base threshold


def test_weights_of_zero_make_no_nan() -> None:
    weight = torch.zeros(3, 4, requires_grad=True)
    signs, scale = channelwise_weight_signs(weight)
    (signs * scale[:, None]).sum().backward()
    assert torch.isfinite(signs).all()
    assert weight.grad is not None
    assert torch.isfinite(weight.grad).all()


def test_linear_products_are_exact() -> None:
    """Bits times signs are whole numbers, whatever the order of summation; the scale comes last."""
    torch.manual_seed(3)
    layer = ReactOptions().make_linear(1000, 7)
    x = torch.randn(5, 1000)
    signs, scale = layer.binary_weight()
    whole = layer(x) / scale
    torch.testing.assert_close(whole, whole.round(), rtol=1e-6, atol=1e-3)
    bits = triangular_sign(x)
    assert torch.equal((bits.double() @ signs.double().T).float() * scale, layer(x))


def test_attention_core_is_not_rounded_by_autocast() -> None:
    torch.manual_seed(4)
    core = AttentionCore(600, 1, DecomposedAttention(1), ReactOptions()).eval()
    q, k, v = torch.randn(3, 2, 9, 600).unbind(0)
    expected = core(q, k, v)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(core(q, k, v).float(), expected, rtol=1e-2, atol=1e-2)
    seen: list[torch.Tensor] = []
    core.attention.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    core(q, k, v)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        core(q, k, v)
    assert torch.equal(seen[0], seen[1])

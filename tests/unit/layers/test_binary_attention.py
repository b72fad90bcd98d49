"""Binary attention: Eq. 35, the offsets of Table VII, stages, and the baseline."""

import numpy as np
import pytest
import torch

from bitvit.layers import BinaryAttention, BinaryMlp, gsb_linear
from bitvit.layers.gsb_linear import head_sign
from bitvit.quantizers import (
    GsbAttention,
    GsbValue,
    LearnedSign,
    ScaledBits,
    XnorAttention,
    attention_components,
    component_factors,
    quantize_offset,
    value_components,
)

HEADS, TOKENS, DIM = 3, 6, 12


def probabilities(seed: int = 0, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(batch, HEADS, TOKENS, TOKENS, generator=generator, dtype=torch.float64)).softmax(-1)


def gsb_attention_layer(seed: int = 0, components_attention: int = 2, components_value: int = 2) -> BinaryAttention:
    torch.manual_seed(seed)
    layer = BinaryAttention(
        DIM,
        HEADS,
        GsbAttention(HEADS, TOKENS, components_attention, offset_bits=32),
        GsbValue(HEADS, DIM // HEADS, components_value),
    ).double()
    with torch.no_grad():
        for name, value in layer.state_dict().items():
            if name.endswith(("shift", "omega", "offset")):
                value.normal_(0, 0.05)
            elif "base_" in name:
                value.uniform_(0.05, 0.4)
    return layer


@pytest.mark.parametrize("components", [(0, 0), (2, 2), (1, 3)])
def test_output_is_eq_35(components: tuple[int, int]) -> None:
    """proj of the sum over i, j of a_i b_j (A^i x V^j), with every component a {0, 1} or {-1, 0, +1} tensor."""
    k_a, k_v = components
    layer = gsb_attention_layer(1, k_a, k_v)
    assert isinstance(layer.attention, GsbAttention)
    assert isinstance(layer.value, GsbValue)
    x = torch.randn(2, TOKENS, DIM, dtype=torch.float64)
    q, k, v = layer.qkv(x).reshape(2, TOKENS, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4).unbind(0)
    q_bits = torch.where(q + layer.query.shift < 0, -1.0, 1.0)
    k_bits = torch.where(k + layer.key.shift < 0, -1.0, 1.0)
    assert isinstance(layer.query, LearnedSign)
    assert isinstance(layer.key, LearnedSign)
    scale = float((layer.query.scale * layer.key.scale).detach()) / (DIM // HEADS) ** 0.5
    a = (scale * (q_bits.double() @ k_bits.double().transpose(-2, -1))).softmax(-1)
    alphas, betas = layer.attention.scales, layer.value.scales
    maps = attention_components(a - layer.attention.offset, alphas[0], component_factors(k_a), "round")
    planes = value_components(v - layer.value.omega, component_factors(k_v))
    y = sum(alphas[i] * betas[j] * (maps[i] @ planes[j]) for i in range(k_a + 1) for j in range(k_v + 1))
    assert isinstance(y, torch.Tensor)
    expected = layer.proj(y.transpose(1, 2).reshape(2, TOKENS, DIM))
    torch.testing.assert_close(layer(x), expected)


def test_offset_kinds() -> None:
    a = probabilities()
    generator = torch.Generator().manual_seed(1)
    for kind, shape in (("row", (HEADS, TOKENS)), ("full", (HEADS, TOKENS, TOKENS))):
        layer = GsbAttention(HEADS, TOKENS, offset=kind, offset_bits=32).double()  # type: ignore[arg-type]
        assert layer.offset is not None
        assert tuple(layer.offset.shape) == shape
        assert layer.offset.eq(0).all()
        with torch.no_grad():
            layer.offset.copy_(torch.randn(shape, generator=generator))
        expected = a - (layer.offset[:, :, None] if kind == "row" else layer.offset)
        torch.testing.assert_close(layer.shifted(a), expected, rtol=0, atol=0)
    none = GsbAttention(HEADS, TOKENS, offset="none")
    assert none.offset is None
    torch.testing.assert_close(none.shifted(a), a, rtol=0, atol=0)
    mean = GsbAttention(HEADS, TOKENS, offset="mean")
    assert mean.offset is None
    for b in range(a.shape[0]):
        torch.testing.assert_close(mean.shifted(a)[b], a[b] - a[b].mean())


def test_offset_gradient_is_minus_the_summed_input_gradient() -> None:
    for kind in ("row", "full"):
        layer = GsbAttention(HEADS, TOKENS, offset=kind, offset_bits=8).double()  # type: ignore[arg-type]
        assert layer.offset is not None
        with torch.no_grad():
            layer.offset.normal_(0, 0.02, generator=torch.Generator().manual_seed(3))
            layer.scales = torch.tensor([0.2, 0.3, 0.1])
        a = probabilities(2).requires_grad_()
        (layer(a)[0] * probabilities(5)).sum().backward()
        assert a.grad is not None
        assert a.grad.abs().sum() > 0
        expected = -(a.grad.sum((0, 3)) if kind == "row" else a.grad.sum(0))
        torch.testing.assert_close(layer.offset.grad, expected)


def test_eight_bit_offset_is_what_the_layer_subtracts() -> None:
    layer = GsbAttention(HEADS, TOKENS, offset_bits=8)
    assert layer.offset is not None
    with torch.no_grad():
        layer.offset.normal_(0, 0.02, generator=torch.Generator().manual_seed(3))
    integers, scales = quantize_offset(layer.offset)
    a = probabilities().float()
    assert layer.shifted(a).equal(a - integers.float() * scales[:, None, None])
    assert layer.mask_planes(HEADS).offset is not None
    assert layer.mask_planes(HEADS).offset.equal(integers)  # type: ignore[union-attr]


def test_baseline_signs() -> None:
    """Queries and keys: signs around the image's mean, unscaled (Eq. 7). Values: times their mean magnitude (Eq. 2)."""
    x = torch.randn(2, HEADS, TOKENS, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.3
    for scaled in (True, False):
        levels, scale = head_sign(HEADS, 4, "xnor", scaled=scaled)(x)
        assert (scale is not None) == scaled
        y = levels if scale is None else levels * scale
        for b in range(2):
            expected = np.where(x[b] - x[b].mean() < 0, -1.0, 1.0) * (float(x[b].abs().mean()) if scaled else 1.0)
            np.testing.assert_allclose(y[b], expected, rtol=1e-12)


def test_scores_have_both_learned_scales() -> None:
    """In the packed form they are in the table of exponentials: entry 1 is exp(-2 s_q s_k / sqrt(D))."""
    layer = gsb_attention_layer(4)
    assert isinstance(layer.query, LearnedSign)
    assert isinstance(layer.key, LearnedSign)
    expected = float((layer.query.scale * layer.key.scale).detach()) / (DIM // HEADS) ** 0.5
    packed = layer.float().packed()
    assert float(packed.core.table[1]) == pytest.approx(np.exp(-2 * expected), rel=1e-6)  # type: ignore[union-attr, index, arg-type]


def test_stage_1_is_float_attention_with_binary_weights() -> None:
    layer = gsb_attention_layer(2)
    for module in layer.modules():
        if hasattr(module, "set_activation_binarization"):
            module.set_activation_binarization(False)
    x = torch.randn(2, TOKENS, DIM, dtype=torch.float64)
    signs, scale = layer.qkv.binary_weight()
    q, k, v = torch.nn.functional.linear(x, signs * scale, layer.qkv.bias).chunk(3, -1)
    split = lambda t: t.reshape(2, TOKENS, HEADS, -1).transpose(1, 2)  # noqa: E731
    attended = torch.nn.functional.scaled_dot_product_attention(split(q), split(k), split(v))
    signs, scale = layer.proj.binary_weight()
    expected = torch.nn.functional.linear(
        attended.transpose(1, 2).reshape(2, TOKENS, DIM), signs * scale, layer.proj.bias
    )
    torch.testing.assert_close(layer(x), expected)


def test_attention_refuses_masks_and_odd_heads() -> None:
    layer = gsb_attention_layer()
    with pytest.raises(ValueError, match="no attention mask"):
        layer(torch.zeros(1, TOKENS, DIM), attn_mask=torch.zeros(TOKENS, TOKENS))
    with pytest.raises(ValueError, match="divisible"):
        BinaryAttention(10, 3, XnorAttention(4), LearnedSign((3, 1, 4)))


def test_attention_under_autocast_keeps_thresholds() -> None:
    """Probabilities decide masks, so autocast must not move them; only the product with V may be rounded."""
    layer = gsb_attention_layer(7).float().requires_grad_(False)
    seen: list[torch.Tensor] = []
    layer.attention.register_forward_hook(lambda _m, inputs, _out: seen.append(inputs[0]))
    x = torch.randn(2, TOKENS, DIM)
    layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(x)
    assert seen[1].dtype == torch.float32
    torch.testing.assert_close(seen[0], seen[1], rtol=1e-6, atol=1e-7)


def test_mlp_binarizes_its_hidden_activation_as_type_a() -> None:
    torch.manual_seed(3)
    mlp = BinaryMlp.of_width(DIM, 20).requires_grad_(False)
    x = torch.randn(2, TOKENS, DIM)
    hidden = torch.nn.functional.gelu(mlp.fc1(x))
    bits, _ = mlp.fc2.input_quantizer(hidden)  # type: ignore[operator]
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    assert mlp(x).equal(mlp.fc2(hidden))
    by_sign = gsb_linear(20, DIM, input_type="nonnegative", type_a="sign").input_quantizer
    assert isinstance(by_sign, ScaledBits)
    assert not by_sign.rounds

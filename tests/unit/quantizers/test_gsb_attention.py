"""GSB attention against Eq. 9-25, and the baseline's attention against Eq. 7 and 8."""

import numpy as np
import pytest
import torch

from bitvit.quantizers import (
    MIN_SCALE,
    AttentionBase,
    attention_components,
    attention_gamma,
    component_factors,
    fit_attention_scales,
    gsb_attention,
    xnor_attention,
)
from tests.support import gsb_formulas as formulas

BASES: list[AttentionBase] = ["round", "mask", "sign"]


def softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def cases() -> dict[str, np.ndarray]:
    """A_t in [B, H, N, M], with values that are exact in binary where a threshold is to be hit."""
    rng = np.random.default_rng(2024)
    offset = rng.normal(0, 0.2, (2, 5, 5))
    return {
        "softmax": softmax(rng.normal(0, 2, (2, 3, 5, 5))),
        "with offset": softmax(rng.normal(0, 2, (2, 2, 5, 5))) - offset,
        "all negative": -rng.uniform(0.1, 1, (1, 2, 4, 4)),
        "zeros": np.zeros((2, 1, 3, 3)),
        "one token": np.array([[[[1.0]]]]),
        "equal": np.full((1, 2, 4, 4), 0.25),
        # Scale 0.5 makes 0.25 the base threshold and 0.5 the window's edge; with row maximum 1, c = 0.75 ties at 0.75.
        "ties": np.array(
            [[[[0.25, 0.5, 0.75, 1.0], [0.0, 0.125, 0.25, 0.5], [-0.5, -0.25, 0.25, 0.5], [0.5, 0.5, 1, 1]]]]
        ),
        "beyond one": np.array([[[[4.0, 3.5, 2.5, 1.0], [3.0, 2.75, 0.5, 0.1], [8.0, 1.0, 7.5, 6.5], [1, 2, 3, 4]]]]),
    }


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("components", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("name", list(cases()))
def test_forward_and_gradients(name: str, components: int, base: AttentionBase) -> None:
    a_t = cases()[name]
    rng = np.random.default_rng(components)
    scales = np.array([0.5, 0.25, 0.125, 0.3, 0.07][: components + 1])
    coefficients = [0.75] if name == "ties" and components == 1 else formulas.factors(components)
    grad = rng.normal(size=a_t.shape)
    x = torch.tensor(a_t, requires_grad=True)
    s = torch.tensor(scales, requires_grad=True)
    y = gsb_attention(x, s, tuple(coefficients), base)
    y.backward(torch.tensor(grad))
    np.testing.assert_allclose(y.detach(), formulas.gsb_attention(a_t, scales, coefficients, base), rtol=1e-12)
    grad_x, grad_scales = formulas.gsb_attention_gradients(a_t, scales, coefficients, grad, base)
    assert x.grad is not None
    assert s.grad is not None
    np.testing.assert_allclose(x.grad, grad_x, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(s.grad, grad_scales, rtol=1e-10, atol=1e-15)


def test_thresholds_are_strict() -> None:
    a_t = torch.tensor([[[[0.25, 0.5, 0.75, 1.0]]]])
    base, mask = attention_components(a_t, torch.tensor(0.5), (0.75,), "round")
    assert base.flatten().tolist() == [0, 1, 1, 1]
    assert mask.flatten().tolist() == [0, 0, 0, 1]
    half, _ = attention_components(a_t, torch.tensor(0.5), (0.75,), "mask")
    assert half.flatten().tolist() == [0, 0, 1, 1]


def test_components_add_up() -> None:
    a_t = torch.tensor(cases()["with offset"])
    scales = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    for base in BASES:
        parts = attention_components(a_t, scales[0], component_factors(2), base)
        combined = torch.einsum("i,ibhnm->bhnm", scales, parts)
        torch.testing.assert_close(combined, gsb_attention(a_t, scales, base=base))


def test_component_factors_divide_the_interval() -> None:
    assert component_factors(0) == ()
    assert component_factors(2) == pytest.approx((0.7, 0.9))
    for k in range(1, 6):
        assert component_factors(k) == pytest.approx(tuple(formulas.factors(k)), abs=1e-15)


@pytest.mark.parametrize("components", [0, 1, 2, 4])
@pytest.mark.parametrize("name", [name for name in cases() if name != "ties"])
def test_initial_scales_are_eq_25(name: str, components: int) -> None:
    a_t = cases()[name]
    coefficients = formulas.factors(components)
    fitted = fit_attention_scales(torch.tensor(a_t), tuple(coefficients))
    expected = formulas.attention_scales(a_t, coefficients, MIN_SCALE)
    np.testing.assert_allclose(fitted, expected, rtol=1e-9)
    assert torch.isfinite(fitted).all()
    assert (fitted >= MIN_SCALE).all()


def test_bands_include_their_lower_edge() -> None:
    """Eq. 25 counts values at a threshold into its band, here 0.5 and 0.75 of a maximum of 1."""
    a_t = torch.tensor([[[[1.0, 0.75, 0.5, 0.25]]]], dtype=torch.float64)
    expected = [0.625, MIN_SCALE, 0.875 - 0.625 - MIN_SCALE]
    np.testing.assert_allclose(fit_attention_scales(a_t, (0.5, 0.75)), expected, rtol=1e-12)


def test_initial_scales_solve_eq_24_given_the_first() -> None:
    """With a_0 fixed and M_1 inside A_bin, the normal equations of Eq. 23 for a_1 and a_2 hold at Eq. 25's solution."""
    a = softmax(np.random.default_rng(9).normal(0, 1.5, (4, 2, 8, 8)))
    fitted = fit_attention_scales(torch.tensor(a), component_factors(2)).numpy()
    row_max = a.max(-1, keepdims=True)
    m1, m2 = (a >= 0.7 * row_max).astype(float), (a >= 0.9 * row_max).astype(float)
    residual = a - (fitted[0] + fitted[1] * m1 + fitted[2] * m2)
    assert abs(np.sum(residual * m1)) < 1e-9
    assert abs(np.sum(residual * m2)) < 1e-9


def test_initial_scales_of_a_mask_base_solve_eq_23() -> None:
    a = softmax(np.random.default_rng(10).normal(0, 1.5, (4, 2, 8, 8)))
    fitted = fit_attention_scales(torch.tensor(a), component_factors(2), "mask").numpy()
    row_max = a.max(-1, keepdims=True)
    masks = [(a >= c * row_max).astype(float) for c in (0.5, 0.7, 0.9)]
    residual = a - sum(scale * mask for scale, mask in zip(fitted, masks, strict=True))
    assert max(abs(np.sum(residual * mask)) for mask in masks) < 1e-9


def attention_with_large_values(count: int) -> np.ndarray:
    """One image [1, 1, 8, 8] with ``count`` values of 0.75 and small ones elsewhere."""
    a = np.full((1, 1, 8, 8), 0.03125)
    a.reshape(-1)[:count] = 0.75
    return a


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 64])
@pytest.mark.parametrize("phase", [1, 2])
def test_gamma_phases_and_switch(phase: int, count: int) -> None:
    a = attention_with_large_values(count)
    expected = formulas.gamma(a[0], phase, patches=10)
    result = attention_gamma(torch.tensor(a), phase, patches=10)
    assert result.shape == (1, 1, 1, 1)
    assert result.item() == pytest.approx(expected, rel=1e-12)
    if phase == 2:
        assert (result.item() == pytest.approx(0.75)) == (count >= 10)


def test_gamma_is_each_images_own() -> None:
    batch = np.concatenate([attention_with_large_values(count) for count in (0, 9, 10, 64)])
    together = attention_gamma(torch.tensor(batch), 2, 10).flatten().tolist()
    alone = [attention_gamma(torch.tensor(batch[i : i + 1]), 2, 10).item() for i in range(4)]
    assert together == alone


@pytest.mark.parametrize("phase", [1, 2])
def test_xnor_attention_is_eq_7(phase: int) -> None:
    a = np.concatenate([attention_with_large_values(12), attention_with_large_values(3)])
    grad = np.random.default_rng(0).normal(size=a.shape)
    x = torch.tensor(a, requires_grad=True)
    y = xnor_attention(x, torch.tensor(phase), patches=10)
    y.backward(torch.tensor(grad))
    for b in range(2):
        g = formulas.gamma(a[b], phase, 10)
        expected = g * np.clip(np.round(a[b] / g), 0, 1)
        np.testing.assert_allclose(y[b].detach(), expected, rtol=1e-12)
        assert x.grad is not None
        np.testing.assert_allclose(x.grad[b], grad[b] * ((a[b] / g > 0) & (a[b] / g < 1)), rtol=1e-12)

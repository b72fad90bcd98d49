"""Quantizers on arbitrary shapes and values: ranges, agreement with the paper's formulas, no NaN, no batch dependence.

Hypothesis prints the failing example and its seed.
"""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bitvit.layers import gsb_linear
from bitvit.quantizers import (
    MIN_SCALE,
    GsbAttention,
    GsbValue,
    binary_weight_parts,
    component_factors,
    fit_attention_scales,
    fit_round_scale,
    fit_step,
    fit_value_scales,
    gsb_attention,
    gsb_value,
    learned_round,
    learned_sign,
    learned_step,
    quantize_offset,
    xnor_attention,
)
from tests.support import gsb_formulas as formulas

# Extremes without overflow in squares, signed zeros, subnormals, and a coarse grid that makes ties frequent.
VALUES = st.one_of(
    st.floats(-4, 4, width=32),
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 0.25, 1e-30, -1e-30, 1e4, -1e4]),
    st.integers(-8, 8).map(lambda i: i / 8),
)
SCALES = st.one_of(st.floats(MIN_SCALE, 10), st.sampled_from([0.25, 0.5, 1.0, 2.0]))


def arrays(dims: int, max_side: int = 4) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(np.float64, hnp.array_shapes(min_dims=dims, max_dims=dims, max_side=max_side), elements=VALUES)


def ramp(shape: tuple[int, ...]) -> np.ndarray:
    """A gradient whose values tell positions apart."""
    return (np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape) + 1) / 7 - 1


@given(arrays(3), SCALES)
def test_learned_scales_follow_the_formulas(x: np.ndarray, scale: float) -> None:
    for quantize, formula in ((learned_sign, formulas.learned_sign), (learned_round, formulas.learned_round)):
        x_t, s_t = torch.tensor(x, requires_grad=True), torch.tensor(scale, dtype=torch.float64, requires_grad=True)
        y = quantize(x_t, s_t)
        y.backward(torch.tensor(ramp(x.shape)))
        value, grad_x, grad_scale = formula(x, scale, ramp(x.shape))
        assert x_t.grad is not None
        assert s_t.grad is not None
        np.testing.assert_allclose(y.detach(), value, rtol=1e-12)
        # At a bound |x| = s the quotient x/s may round to either side of 1; there the formulas are not compared.
        clear = np.abs(np.abs(x) - scale) > 1e-12 * scale
        np.testing.assert_allclose(x_t.grad.numpy()[clear], grad_x[clear], rtol=1e-12)
        if clear.all():
            np.testing.assert_allclose(s_t.grad, grad_scale, rtol=1e-9, atol=1e-9)


@settings(max_examples=60)
@given(arrays(4), st.integers(0, 4), st.sampled_from(["round", "mask", "sign"]), SCALES)
def test_gsb_attention_follows_the_formulas(a_t: np.ndarray, components: int, base: str, scale: float) -> None:
    scales = scale / (1.0 + np.arange(components + 1))
    coefficients = formulas.factors(components)
    x = torch.tensor(a_t, requires_grad=True)
    s = torch.tensor(scales, requires_grad=True)
    y = gsb_attention(x, s, tuple(coefficients), base)  # type: ignore[arg-type]
    y.backward(torch.tensor(ramp(a_t.shape)))
    np.testing.assert_allclose(y.detach(), formulas.gsb_attention(a_t, scales, coefficients, base), rtol=1e-12)
    grad_a, grad_scales = formulas.gsb_attention_gradients(a_t, scales, coefficients, ramp(a_t.shape), base)
    assert x.grad is not None
    assert s.grad is not None
    row_max = a_t.max(-1, keepdims=True)
    bounds = [np.abs(np.abs(a_t) - scales[0])] + [np.abs(a_t - c * row_max - 1) for c in (0.5, *coefficients)]
    clear = np.min(bounds, axis=0) > 1e-12 * max(1.0, np.abs(a_t).max())
    np.testing.assert_allclose(x.grad.numpy()[clear], grad_a[clear], rtol=1e-11, atol=1e-11)
    if clear.all():
        np.testing.assert_allclose(s.grad, grad_scales, rtol=1e-9, atol=1e-9)


@settings(max_examples=60)
@given(arrays(4), st.integers(0, 4), SCALES)
def test_gsb_value_follows_the_formulas(v0: np.ndarray, components: int, scale: float) -> None:
    scales = scale / (1.0 + np.arange(components + 1))
    coefficients = formulas.factors(components)
    v = torch.tensor(v0, requires_grad=True)
    s = torch.tensor(scales, requires_grad=True)
    y = gsb_value(v, s, tuple(coefficients))
    y.backward(torch.tensor(ramp(v0.shape)))
    np.testing.assert_allclose(y.detach(), formulas.gsb_value(v0, scales, coefficients), rtol=1e-12)
    grad_v, grad_scales = formulas.gsb_value_gradients(v0, scales, coefficients, ramp(v0.shape))
    assert v.grad is not None
    assert s.grad is not None
    clear = np.min([np.abs(np.abs(v0) - b) for b in scales], axis=0) > 1e-12
    np.testing.assert_allclose(v.grad.numpy()[clear], grad_v[clear], rtol=1e-12, atol=1e-12)
    if clear.all():
        np.testing.assert_allclose(s.grad, grad_scales, rtol=1e-9, atol=1e-9)


@given(arrays(4), st.integers(0, 4))
def test_initial_scales_are_positive_and_finite(x: np.ndarray, components: int) -> None:
    factors = component_factors(components)
    for fitted in (
        *(fit_attention_scales(torch.tensor(x), factors, base) for base in ("round", "mask", "sign")),  # type: ignore[arg-type]
        fit_value_scales(torch.tensor(x), factors),
    ):
        assert fitted.shape == (components + 1,)
        assert torch.isfinite(fitted).all()
        assert (fitted >= MIN_SCALE).all()
    np.testing.assert_allclose(
        fit_attention_scales(torch.tensor(x), factors),
        formulas.attention_scales(x, list(factors), MIN_SCALE),
        rtol=1e-7,
        atol=1e-7,
    )
    np.testing.assert_allclose(
        fit_value_scales(torch.tensor(x), factors),
        formulas.value_scales(x, list(factors), MIN_SCALE),
        rtol=1e-7,
        atol=1e-7,
    )


@given(arrays(3))
def test_other_fits_are_finite(x: np.ndarray) -> None:
    assert torch.isfinite(fit_round_scale(torch.tensor(x)))
    assert fit_step(torch.tensor(x)) > 0
    integers, scales = quantize_offset(torch.tensor(x))
    assert (scales > 0).all()
    error = np.abs(integers.numpy() * scales.numpy()[:, None, None] - x)
    assert (error <= 0.5000001 * scales.numpy()[:, None, None]).all()


@given(arrays(2), SCALES)
def test_learned_step_error_is_at_most_half_a_step(x: np.ndarray, step: float) -> None:
    y = learned_step(torch.tensor(x), torch.tensor(step, dtype=torch.float64), x.size).numpy()
    inside = np.abs(x / step) <= 127
    assert (np.abs(y - x)[inside] <= 0.5000001 * step).all()
    assert (np.abs(y) <= 128 * step * 1.000001).all()


@given(arrays(2, max_side=6))
def test_weights_have_two_values(weight: np.ndarray) -> None:
    signs, scale = binary_weight_parts(torch.tensor(weight))
    assert set(signs.unique().tolist()) <= {-1.0, 1.0}
    assert scale > 0
    np.testing.assert_allclose(scale, np.abs(weight).mean(), rtol=1e-12, atol=2e-12)


@settings(max_examples=40)
@given(
    st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**31 - 1), st.sampled_from([1e-3, 1, 1e3])
)
def test_an_image_is_not_moved_by_its_neighbours(heads: int, tokens: int, width: int, seed: int, factor: float) -> None:
    """Bitwise: the quantizers have no reduction over the batch, and products of bits are exact."""
    generator = torch.Generator().manual_seed(seed)
    image, neighbour = torch.randn(2, 1, heads, tokens, width, generator=generator).unbind(0)
    batch = torch.cat([image, factor * neighbour])
    value = GsbValue(heads, width).requires_grad_(False)
    assert value(batch)[0][:1].equal(value(image)[0])
    scores = torch.randn(2, heads, tokens, tokens, generator=generator)
    scores[1] *= factor
    a = scores.softmax(-1)
    attention = GsbAttention(heads, tokens).requires_grad_(False)
    assert attention(a)[0][:1].equal(attention(a[:1])[0])
    for phase in (1, 2):
        assert xnor_attention(a, phase, tokens)[:1].equal(xnor_attention(a[:1], phase, tokens))
    rows = batch.flatten(1, 2)
    for statistics in ("learned", "xnor"):
        linear = gsb_linear(width, 3, statistics=statistics).requires_grad_(False)  # type: ignore[arg-type]
        assert linear(rows)[:1].equal(linear(rows[:1]))

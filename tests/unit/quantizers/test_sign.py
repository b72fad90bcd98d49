"""Sign, rounding and weights against the paper's Eq. 1-6."""

import numpy as np
import pytest
import torch

from bitvit.quantizers import (
    binary_sign,
    binary_weight,
    binary_weight_parts,
    fit_round_scale,
    fit_sign_scale,
    image_statistics,
    learned_round,
    learned_sign,
    round_bits,
    round_clip,
    sign_bits,
    sign_ste,
)
from tests.support import gsb_formulas as formulas

# Zeros of both signs, the windows' bounds, neighbours of thresholds, a subnormal.
EDGES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    0.25,
    np.nextafter(0.5, 1),
    np.nextafter(1, 2),
    -np.nextafter(1, 2),
    5e-324,
    -3.0,
]


def tensor(values: object, requires_grad: bool = False) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64, requires_grad=requires_grad)


def test_sign_is_never_zero() -> None:
    x = tensor([-0.0, 0.0, -5e-324, 5e-324, float("inf"), float("-inf")])
    assert binary_sign(x).tolist() == [1, 1, -1, 1, 1, -1]
    assert binary_sign(x.float()).dtype == torch.float32


def test_sign_ste_is_eq_4_and_5() -> None:
    x = tensor(EDGES, requires_grad=True)
    grad = tensor(np.arange(1.0, len(EDGES) + 1))
    y = sign_ste(x)
    y.backward(grad)
    assert y.tolist() == [formulas.sign(v) for v in EDGES]
    assert x.grad is not None
    assert x.grad.tolist() == [g if abs(v) <= 1 else 0.0 for v, g in zip(EDGES, grad.tolist(), strict=True)]


def test_round_clip_is_eq_3_and_5() -> None:
    x = tensor(EDGES, requires_grad=True)
    y = round_clip(x)
    y.sum().backward()
    assert y.tolist() == [formulas.round_clip(v) for v in EDGES]
    assert y.tolist() == torch.clamp(torch.round(x.detach()), 0, 1).tolist()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0 if 0 < v < 1 else 0.0 for v in EDGES]


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 7)])
def test_binary_weight_is_eq_1_2_6(shape: tuple[int, int]) -> None:
    weight = torch.tensor(np.random.default_rng(3).normal(0.2, 1, shape), requires_grad=True)
    y = binary_weight(weight)
    grad = torch.tensor(np.random.default_rng(4).normal(size=shape))
    y.backward(grad)
    np.testing.assert_allclose(y.detach(), formulas.binary_weight(weight.detach().numpy()), rtol=1e-12)
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad, grad, rtol=1e-12)


def test_weight_ties_and_zeros() -> None:
    # Equal weights lie on their mean: sign(0) = +1; their scale is their magnitude, whatever the sign.
    signs, scale = binary_weight_parts(torch.full((2, 2), -0.5))
    assert signs.eq(1).all()
    assert scale.item() == 0.5
    zeros = torch.zeros(2, 3, requires_grad=True)
    y = binary_weight(zeros)
    y.backward(torch.full((2, 3), 2.0))
    assert y.abs().max().item() <= 1e-11
    assert zeros.grad is not None
    torch.testing.assert_close(zeros.grad, torch.full((2, 3), 2.0))


@pytest.mark.parametrize("kind", ["sign", "round"])
@pytest.mark.parametrize("scale", [1.0, 0.5, 0.037])
def test_learned_scale(kind: str, scale: float) -> None:
    rng = np.random.default_rng(11)
    x = np.concatenate([rng.normal(0, 1, (3, 4, 5)).reshape(3, -1), np.tile(np.array(EDGES) * scale, (3, 1))], axis=1)
    grad = rng.normal(size=x.shape)
    x_t, s_t = tensor(x, requires_grad=True), tensor(scale, requires_grad=True)
    quantize, formula = (
        (learned_sign, formulas.learned_sign) if kind == "sign" else (learned_round, formulas.learned_round)
    )
    y = quantize(x_t, s_t)
    y.backward(tensor(grad))
    expected, grad_x, grad_scale = formula(x, scale, grad)
    np.testing.assert_allclose(y.detach(), expected, rtol=1e-12)
    assert x_t.grad is not None
    assert s_t.grad is not None
    np.testing.assert_allclose(x_t.grad, grad_x, rtol=1e-12)
    np.testing.assert_allclose(s_t.grad, grad_scale, rtol=1e-10)


def test_scale_gradient_averages_within_images_and_sums_over_them() -> None:
    x = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    grads = []
    for batch in (x, x.repeat(5, 1, 1)):
        scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        learned_sign(batch, scale).sum().backward()
        assert scale.grad is not None
        grads.append(scale.grad)
    torch.testing.assert_close(grads[1], 5 * grads[0])


def test_bits_carry_the_scaled_values_gradient() -> None:
    x0 = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for bits, value in ((sign_bits, learned_sign), (round_bits, learned_round)):
        results = []
        for use_bits in (True, False):
            x, s = x0.clone().requires_grad_(), torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
            y = bits(x, s) * s.detach() if use_bits else value(x, s)
            (y * x0.flip(0)).sum().backward()
            results.append((y.detach(), x.grad, s.grad))
        torch.testing.assert_close(results[0], results[1])
    assert set(sign_bits(x0, torch.tensor(0.6)).unique().tolist()) == {-1.0, 1.0}
    assert set(round_bits(x0, torch.tensor(0.6)).unique().tolist()) == {0.0, 1.0}


def test_image_statistics_are_eq_2_for_each_image() -> None:
    x = np.random.default_rng(5).normal(0.3, 1, (3, 4, 6))
    mean, magnitude = image_statistics(torch.tensor(x))
    assert mean.shape == magnitude.shape == (3, 1, 1)
    for b in range(3):
        assert mean[b].item() == pytest.approx(sum(x[b].flat) / 24, rel=1e-12)
        assert magnitude[b].item() == pytest.approx(sum(abs(v) for v in x[b].flat) / 24, rel=1e-12)
    zero_mean, zero_magnitude = image_statistics(torch.zeros(1, 2, 2))
    assert zero_mean.item() == 0
    assert 0 < zero_magnitude.item() < 1e-6


def test_fitted_sign_scale_minimizes_the_error() -> None:
    x = torch.tensor(np.random.default_rng(6).normal(size=400))
    fitted = fit_sign_scale(x)
    error = lambda s: float((x - s * binary_sign(x)).square().sum())  # noqa: E731
    assert error(fitted) < min(error(fitted * 1.01), error(fitted * 0.99))


def test_fitted_round_scale_minimizes_the_error() -> None:
    x = torch.nn.functional.gelu(torch.tensor(np.random.default_rng(7).normal(size=4000)))
    fitted = fit_round_scale(x)
    error = lambda s: float((x - s * (x > s / 2)).square().sum())  # noqa: E731
    candidates = torch.linspace(0.05, 3, 400)
    best = min(error(s) for s in candidates)
    assert error(fitted) <= best * 1.005
    assert fit_round_scale(torch.full((2, 3), -1.0)).item() == 0

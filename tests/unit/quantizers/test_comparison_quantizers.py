"""The estimators of the compared methods against their papers' formulas, evaluated by themselves in float64."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from bitvit.quantizers import ChannelSignWeight
from bitvit.quantizers.bireal import magnitude_aware_signs
from bitvit.quantizers.ir_net import decayed_sign, libra_weight_signs
from bitvit.quantizers.low_bit import fit_low_bit, low_bit
from bitvit.quantizers.rbnn import fit_rotations, nearly_square, rotated, rotated_weight_signs, training_aware_sign
from bitvit.quantizers.reactnet import rsign
from bitvit.quantizers.recu import recu_weight_signs, scheduled_tau
from bitvit.quantizers.xnor_net import xnor_input_scale, xnor_weight_signs

Array = npt.NDArray[np.float64]
EDGES = [0.0, -0.0, 1.0, -1.0, np.nextafter(1, 2), -np.nextafter(1, 2), 0.5, -0.5, 5e-324, -3.0]


def weights(seed: int = 0) -> Array:
    print("seed", seed)
    w = np.random.default_rng(seed).normal(0.1, 0.8, (3, 2, 3, 3))
    w[0, 0].flat[:4] = [1.0, -1.0, 0.0, -0.0]
    return w


def run(quantize: Callable[[Tensor], tuple[Tensor, Tensor]], w: Array, grad: Array) -> tuple[Array, Array]:
    """The binary weight ``signs * scale`` and the gradient of the weight for that of the product."""
    weight = torch.tensor(w, requires_grad=True)
    signs, scale = quantize(weight)
    assert set(signs.detach().unique().tolist()) <= {-1.0, 1.0}
    product = signs * scale.view(-1, *[1] * (w.ndim - 1))
    product.backward(torch.tensor(grad))
    assert weight.grad is not None
    return product.detach().numpy(), weight.grad.numpy()


def per_filter_mean(w: Array) -> Array:
    return np.abs(w).reshape(len(w), -1).mean(1).reshape(-1, 1, 1, 1)


SIGN = np.vectorize(lambda v: -1.0 if v < 0 else 1.0)


@pytest.mark.parametrize(
    ("quantize", "slope"),
    [
        (xnor_weight_signs, lambda w, a: 1 / 18 + a * (np.abs(w) <= 1)),
        (magnitude_aware_signs, lambda w, a: a * (np.abs(w) < 1)),
        (ChannelSignWeight(centre=False), lambda w, a: 1.0 * (np.abs(w) <= 1)),
    ],
)
def test_filters_with_a_mean_magnitude(
    quantize: Callable[[Tensor], tuple[Tensor, Tensor]], slope: Callable[[Array, Array], Array]
) -> None:
    w, grad = weights(), np.random.default_rng(1).normal(size=(3, 2, 3, 3))
    value, found = run(quantize, w, grad)
    alpha = per_filter_mean(w)
    np.testing.assert_allclose(value, alpha * SIGN(w), rtol=1e-12)
    np.testing.assert_allclose(found, grad * slope(w, alpha), rtol=1e-12, atol=1e-15)


def test_xnor_input_scale_is_the_mean_under_the_filter() -> None:
    x = np.random.default_rng(2).normal(size=(2, 3, 5, 4))
    magnitude = np.pad(np.abs(x).mean(1), ((0, 0), (1, 1), (1, 1)))
    expected = np.zeros((2, 1, 3, 2))
    for b, i, j in np.ndindex(2, 3, 2):
        expected[b, 0, i, j] = magnitude[b, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].sum() / 9
    np.testing.assert_allclose(xnor_input_scale(torch.tensor(x), 3, 2, 1), expected, rtol=1e-12)


@pytest.mark.parametrize("progress", [0.0, 0.4, 0.99])
def test_decayed_sign(progress: float) -> None:
    t = 0.1 * 100**progress
    k = max(1 / t, 1)
    check_activation(decayed_sign, progress, lambda x: k * t * (1 - np.tanh(t * x) ** 2))


@pytest.mark.parametrize("progress", [0.0, 0.4, 0.99])
def test_training_aware_sign(progress: float) -> None:
    t = 10 ** (-2 + 3 * progress)
    k = max(1 / t, 1)
    check_activation(
        training_aware_sign,
        progress,
        lambda x: np.where(np.abs(x) < 2**0.5 / t, k * (2**0.5 * t - t * t * np.abs(x)), 0),
    )


def check_activation(
    quantize: Callable[[Tensor, Tensor], Tensor], progress: float, slope: Callable[[Array], Array]
) -> None:
    values = np.array([*EDGES, 14.0, -150.0])
    x = torch.tensor(values, requires_grad=True)
    grad = np.arange(1.0, len(values) + 1)
    y = quantize(x, torch.tensor(progress, dtype=torch.float64))
    y.backward(torch.tensor(grad))
    assert y.tolist() == SIGN(values).tolist()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad, grad * slope(values), rtol=1e-9, atol=1e-12)


def test_libra_weights() -> None:
    w, grad, progress = weights(3), np.random.default_rng(4).normal(size=(3, 2, 3, 3)), 0.6
    value, found = run(lambda x: libra_weight_signs(x, torch.tensor(progress, dtype=torch.float64)), w, grad)
    t = 0.1 * 100**progress
    k = max(1 / t, 1)
    for o in range(3):
        v = w[o].ravel()
        n, std = v.size, v.std(ddof=1)
        u = (v - v.mean()) / std
        scale = 2.0 ** round(math.log2(np.abs(u).mean()))
        np.testing.assert_allclose(value[o].ravel(), scale * SIGN(u), rtol=1e-12)
        g = grad[o].ravel() * scale * k * t * (1 - np.tanh(t * u) ** 2)
        # Backward of the standardization with n - 1 in the variance.
        expected = (g - g.mean() - u * (g * u).sum() / (n - 1)) / std
        np.testing.assert_allclose(found[o].ravel(), expected, rtol=1e-9, atol=1e-12)


def test_rotations_are_orthogonal_and_come_closer_to_the_signs() -> None:
    w = torch.tensor(weights(5))
    left, right = (torch.eye(size, dtype=torch.float64) for size in nearly_square(18))
    assert (len(left), len(right)) == (3, 6)
    before = rotated(w, left, right).abs().sum()
    assert torch.equal(rotated(w, left, right), w)
    for _ in range(2):
        left, right = fit_rotations(w, left, right)
        for matrix in (left, right):
            torch.testing.assert_close(matrix @ matrix.t(), torch.eye(len(matrix), dtype=torch.float64))
        after = rotated(w, left, right).abs().sum()
        assert after > before
        before = after
    torch.testing.assert_close(rotated(w, left, right).square().sum(), w.square().sum())


def test_rotated_weights() -> None:
    w, grad, angle, progress = weights(6), np.random.default_rng(7).normal(size=(3, 2, 3, 3)), -0.7, 0.5
    left, right = fit_rotations(torch.tensor(w), torch.eye(3, dtype=torch.float64), torch.eye(6, dtype=torch.float64))
    learned = torch.tensor(angle, dtype=torch.float64, requires_grad=True)
    at = torch.tensor(progress, dtype=torch.float64)
    value, found = run(lambda x: rotated_weight_signs(x, left, right, learned, at), w, grad)
    r1, r2 = left.numpy(), right.numpy()
    alpha = abs(math.sin(angle))
    turned = np.stack([(r1.T @ m.reshape(3, 6) @ r2).reshape(2, 3, 3) for m in w])
    u = w + alpha * (turned - w)
    scale = per_filter_mean(u)
    np.testing.assert_allclose(value, scale * SIGN(u), rtol=1e-12)
    t = 10 ** (-2 + 3 * progress)
    g = grad * scale * np.maximum(max(1 / t, 1) * (2**0.5 * t - t * t * np.abs(u)), 0)
    back = np.stack([(r1 @ m.reshape(3, 6) @ r2.T).reshape(2, 3, 3) for m in g])
    np.testing.assert_allclose(found, (1 - alpha) * g + alpha * back, rtol=1e-9, atol=1e-12)
    assert learned.grad is not None
    slope = math.copysign(1, math.sin(angle)) * math.cos(angle)
    np.testing.assert_allclose(float(learned.grad), slope * (g * (turned - w)).sum(), rtol=1e-9)


@pytest.mark.parametrize("progress", [0.0, 0.5])
def test_recu_clamps_at_the_scheduled_quantile(progress: float) -> None:
    w, grad = weights(8).reshape(3, 18), np.random.default_rng(9).normal(size=(3, 18))
    tau = scheduled_tau(torch.tensor(progress, dtype=torch.float64))
    slope = 0.14 / (math.e - 1)
    assert float(tau) == pytest.approx(0.85 - slope + slope * math.exp(progress), rel=1e-12)
    value, _ = run(lambda x: recu_weight_signs(x, tau), w, grad)
    scale = np.abs(w).mean(1, keepdims=True)
    np.testing.assert_allclose(value, scale * SIGN(w - w.mean(1, keepdims=True)), rtol=1e-12)
    as_number = run(lambda x: recu_weight_signs(x, float(tau)), w, grad)
    np.testing.assert_allclose(run(lambda x: recu_weight_signs(x, tau), w, grad)[1], as_number[1], rtol=1e-12)


def test_recu_ends_at_its_last_quantile() -> None:
    assert float(scheduled_tau(torch.tensor(1.0, dtype=torch.float64))) == pytest.approx(0.99)
    assert float(scheduled_tau(torch.tensor(0.0, dtype=torch.float64))) == pytest.approx(0.85)


def test_rsign() -> None:
    values = np.array(EDGES)
    x = torch.tensor(values + 0.25, requires_grad=True)
    threshold = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    y = rsign(x, threshold)
    y.sum().backward()
    centred = values + 0.25 - 0.25
    slope = 2 * np.maximum(0, 1 - np.abs(centred))
    assert y.tolist() == SIGN(centred).tolist()
    assert x.grad is not None
    assert threshold.grad is not None
    np.testing.assert_allclose(x.grad, slope, rtol=1e-12)
    np.testing.assert_allclose(float(threshold.grad), -slope.sum(), rtol=1e-12)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_low_bit_is_lsq_with_an_offset(bits: int) -> None:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    step, offset = 0.5, 0.125
    # Ties, bounds, just outside of them, and far away, as multiples of the step.
    ratios = np.array([0.0, 0.5, -0.5, 1.5, low, high, np.nextafter(high, 99), np.nextafter(low, -99), 99.0, -99.0])
    values = ratios * step + offset
    ratios = (values - offset) / step
    x, s, z = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (values, step, offset))
    grad = np.random.default_rng(bits).normal(size=len(values))
    y = low_bit(x, s, z, bits, len(values))
    y.backward(torch.tensor(grad))
    codes = np.clip(np.round(ratios), low, high)
    np.testing.assert_allclose(y.detach(), codes * step + offset, rtol=1e-12)
    inside = (ratios >= low) & (ratios <= high)
    factor = 1 / math.sqrt(len(values) * high)
    assert x.grad is not None
    assert s.grad is not None
    assert z.grad is not None
    np.testing.assert_allclose(x.grad, grad * inside)
    np.testing.assert_allclose(float(s.grad), factor * (grad * (codes - ratios * inside)).sum(), rtol=1e-9)
    np.testing.assert_allclose(float(z.grad), factor * (grad * ~inside).sum(), rtol=1e-9)


def test_one_bit_is_a_sign_around_the_offset() -> None:
    values = np.array([[0.5, 0.4, -2.0], [0.9, 0.1, 0.5]])
    x = torch.tensor(values, requires_grad=True)
    step, offset = torch.tensor(0.4, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    y = low_bit(x, step, offset, 1, 3)
    y.sum().backward()
    np.testing.assert_allclose(y.detach(), 0.4 * SIGN(values - 0.5) + 0.5)
    inside = np.abs(values - 0.5) <= 0.4
    assert x.grad is not None
    assert offset.grad is not None
    np.testing.assert_allclose(x.grad, 1.0 * inside)
    np.testing.assert_allclose(float(offset.grad), 6 - inside.sum())


def test_initial_steps() -> None:
    x = torch.tensor([1.0, 3.0, 5.0, -1.0])
    step, offset = fit_low_bit(x, 1, centred=True)
    assert (float(step), float(offset)) == (2.0, 2.0)
    step, offset = fit_low_bit(x, 2, centred=False)
    assert (float(step), float(offset)) == (5.0, 0.0)

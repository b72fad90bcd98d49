"""GSB-V with thresholds at quantiles or learned: formulas, errors, gradients, packed form."""

import numpy as np
import pytest
import torch

from bitvit.quantizers import (
    GsbValue,
    ValueThresholds,
    component_factors,
    fit_value_scales,
    gaussian_thresholds,
    gsb_value,
    threshold_value,
)

GAUSSIAN = torch.randn(64, 2, 17, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_gaussian_thresholds_are_those_of_lloyd_and_max() -> None:
    assert gaussian_thresholds(0) == ()
    for components, expected in {1: [0.9816], 2: [0.6589, 1.4469], 3: [0.5006, 1.0500, 1.7479]}.items():
        np.testing.assert_allclose(gaussian_thresholds(components), expected, atol=1e-4)


def relative_error(value: torch.Tensor) -> float:
    return float((value.detach() - GAUSSIAN).square().sum() / GAUSSIAN.square().sum())


@pytest.mark.parametrize("kind", ["quantile", "learned"])
def test_quantiles_leave_a_fifth_of_the_papers_error(kind: ValueThresholds) -> None:
    estimator = GsbValue(2, 32, 2, kind).double().eval()
    estimator.fit(GAUSSIAN)
    assert relative_error(estimator(GAUSSIAN)[0]) == pytest.approx(0.058, abs=0.002)
    factors = component_factors(2)
    paper = gsb_value(GAUSSIAN, fit_value_scales(GAUSSIAN, factors), factors)
    assert relative_error(paper) > 0.25


def test_forward_and_gradients_by_numpy() -> None:
    rng = np.random.default_rng(1)
    x, offset = rng.normal(size=(2, 3, 4, 5)), rng.normal(0, 0.1, (3, 1, 5))
    scales, limits = np.array([0.5, 0.4, 0.7]), rng.uniform(0.3, 1.5, (2, 3))
    grad = rng.normal(size=x.shape)
    tensors = [torch.tensor(value, requires_grad=True) for value in (x, scales, limits, offset)]
    y = threshold_value(*tensors)
    y.backward(torch.tensor(grad))
    v = x - offset
    sign, size = np.where(v < 0, -1.0, 1.0), np.abs(v)
    masks = [np.ones_like(v), *(size > limit[None, :, None, None] for limit in limits)]
    np.testing.assert_allclose(y.detach(), sign * sum(b * m for b, m in zip(scales, masks, strict=True)), rtol=1e-12)
    slope = (size < scales[0]) + sum((size <= b) * m for b, m in zip(scales[1:], masks[1:], strict=True))
    np.testing.assert_allclose(tensors[0].grad, slope * grad, rtol=1e-12)
    np.testing.assert_allclose(tensors[3].grad, -(slope * grad).sum((0, 2), keepdims=True)[0], rtol=1e-9)
    per_scale = [
        (grad * sign * m * (1 - size / b * (size < b))).sum() / (3 * 4 * 5) for b, m in zip(scales, masks, strict=True)
    ]
    np.testing.assert_allclose(tensors[1].grad, per_scale, rtol=1e-9)
    near = [np.abs(size - limit[None, :, None, None]) < b / 2 for b, limit in zip(scales[1:], limits, strict=True)]
    expected = np.stack([-(grad * sign * n).sum((0, 2, 3)) / (4 * 5) for n in near])
    np.testing.assert_allclose(tensors[2].grad, expected, rtol=1e-9)


def test_learned_thresholds_move_and_stay_positive() -> None:
    estimator = GsbValue(2, 32, 2, "learned").double()
    estimator.fit(GAUSSIAN)
    assert set(estimator.scale_parameters()) == {"log_scales", "log_thresholds"}
    start = estimator.thresholds.detach().clone()
    optimizer = torch.optim.Adam(estimator.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        (estimator(GAUSSIAN)[0] - 2 * GAUSSIAN).square().mean().backward()
        optimizer.step()
    assert not estimator.thresholds.equal(start)
    assert (estimator.thresholds > 0).all()


def test_the_spread_is_tracked_in_training_only() -> None:
    estimator = GsbValue(2, 32, 2, "quantile").double()
    estimator.eval()(3 * GAUSSIAN)
    assert estimator.get_buffer("spread").eq(1).all()
    estimator.train()
    for _ in range(100):
        estimator(3 * GAUSSIAN)
    torch.testing.assert_close(estimator.get_buffer("spread"), torch.full((2,), 3.0).double(), rtol=0.02, atol=0)


@pytest.mark.parametrize("kind", ["quantile", "learned"])
def test_packed_form_has_a_threshold_for_each_head(kind: ValueThresholds) -> None:
    estimator = GsbValue(2, 32, 2, kind)
    estimator.fit(GAUSSIAN.float() * torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1))
    form = estimator.value_planes()
    assert form.factors == [1.0, 1.0]
    assert form.thresholds is not None
    torch.testing.assert_close(form.thresholds[:, 1], 2 * form.thresholds[:, 0], rtol=0.05, atol=0)
    assert GsbValue(2, 32, 0, kind).value_planes().thresholds is None

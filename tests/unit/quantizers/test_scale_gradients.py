"""GSB's estimators as the authors' release starts and trains them: first scales and gradients by NumPy."""

import numpy as np
import pytest
import torch

from bitvit.quantizers import GsbAttention, GsbValue, LearnedRound, LearnedSign, component_factors

RNG = np.random.default_rng(5)
SIGNED = torch.from_numpy(RNG.normal(0.2, 1.0, (3, 2, 7, 4)))
ATTENTION = torch.from_numpy(RNG.gumbel(size=(3, 2, 6, 6))).softmax(dim=-1)


@pytest.mark.parametrize(("kind", "start"), [(LearnedSign, 2.0), (LearnedRound, 4.0)])
def test_scales_of_activations_start_at_a_multiple_of_the_mean(kind: type[LearnedSign], start: float) -> None:
    x = SIGNED.abs() if kind.rounds else SIGNED
    estimator = kind((4,), start).double()
    estimator.fit(x)
    np.testing.assert_allclose(estimator.scale.detach(), start * np.abs(x.numpy()).mean(), rtol=1e-12)
    plain = kind((4,)).double()
    plain.fit(x)
    assert not plain.scale.equal(estimator.scale)


def test_gradients_of_scales_are_the_sum_over_the_root_of_the_number_of_values() -> None:
    found = {}
    for gradients in ("paper", "release"):
        estimator = LearnedSign((4,), gradients=gradients).double()  # type: ignore[arg-type]
        levels, scale = estimator(SIGNED)
        (levels * scale * SIGNED.cos()).sum().backward()
        assert estimator.log_scale.grad is not None
        found[gradients] = float(estimator.log_scale.grad)
    # The paper's is the mean over one image's values, summed over images.
    total = found["paper"] * SIGNED.numel() / len(SIGNED)
    np.testing.assert_allclose(found["release"], total / np.sqrt(SIGNED.numel()), rtol=1e-9)


def test_scales_of_attention_are_four_times_the_mean_of_their_band() -> None:
    estimator = GsbAttention(2, 6, offset="none", initial="release").double()
    estimator.fit(ATTENTION)
    a = ATTENTION.numpy()
    largest = a.max(axis=-1, keepdims=True)
    bands = [np.ones_like(a, dtype=bool), (a >= 0.7 * largest) & (a < 0.9 * largest), a >= 0.9 * largest]
    expected = [4 * a[band].mean() for band in bands]
    np.testing.assert_allclose(estimator.scales.detach(), expected, rtol=1e-9)


def test_a_band_without_values_takes_the_scale_below() -> None:
    estimator = GsbAttention(1, 2, offset="none", initial="release").double()
    even = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64)
    estimator.fit(even)
    np.testing.assert_allclose(estimator.scales.detach(), [2.0, 2.0, 2.0], rtol=1e-9)


def test_values_start_at_twice_a_mean_and_pass_gradients_outside_their_masks() -> None:
    estimators = {}
    for gradients in ("paper", "release"):
        estimator = GsbValue(2, 4, initial="release", gradients=gradients).double()  # type: ignore[arg-type]
        estimator.fit(SIGNED)
        x = SIGNED.clone().requires_grad_()
        y, _ = estimator(x)
        y.sum().backward()
        estimators[gradients] = y.detach(), x.grad
    assert estimators["paper"][0].equal(estimators["release"][0])  # the forward pass is the same, to the bit
    v = SIGNED.numpy()
    largest, smallest = (reduce(v, axis=(1, 2, 3), keepdims=True) for reduce in (np.max, np.min))
    masks = [(v > c * largest) | (v < c * smallest) for c in component_factors(2)]
    extra = sum((~mask).astype(float) for mask in masks)
    np.testing.assert_allclose(estimators["release"][1] - estimators["paper"][1], extra, atol=1e-12)
    band = ~masks[0]
    np.testing.assert_allclose(estimator.scales.detach()[0], 2 * np.abs(v[band]).mean(), rtol=1e-9)


@pytest.mark.parametrize(("start", "least", "most"), [(1.0, 0.99, 1.0), (2.0, 0.35, 0.65), (4.0, 0.0, 0.2)])
def test_a_map_begins_with_ones_where_attention_is_above_a_multiple_of_its_mean(
    start: float, least: float, most: float
) -> None:
    scores = torch.randn(4, 2, 30, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    attention = (0.2 * scores).softmax(dim=-1)  # nearly even, as an untrained network's
    estimator = GsbAttention(2, 30, offset="none", start=start).double()
    estimator.fit(attention)
    share = float((attention > estimator.scales[0] / 2).double().mean())
    assert least <= share <= most
    np.testing.assert_allclose(estimator.scales[0].detach(), start / 30, rtol=1e-9)
    assert bool((estimator.scales[1:] >= 0.25 * estimator.scales[0]).all())

"""GSB value against Eq. 26-34."""

import numpy as np
import pytest
import torch

from bitvit.quantizers import MIN_SCALE, component_factors, fit_value_scales, gsb_value, value_components
from tests.support import gsb_formulas as formulas


def cases() -> dict[str, np.ndarray]:
    """V_0 in [B, H, N, D]."""
    rng = np.random.default_rng(7)
    return {
        "normal": rng.normal(0, 0.4, (3, 2, 4, 5)),
        "all negative": -rng.uniform(0.1, 2, (1, 2, 3, 4)),
        "all positive": rng.uniform(0.1, 2, (1, 2, 3, 4)),
        "zeros": np.zeros((2, 1, 2, 3)),
        "one token": rng.normal(0, 1, (1, 1, 1, 4)),
        "one value": np.array([[[[-0.5]]]]),
        # Scales 0.5, 0.25, 0.125 are hit exactly; with maximum 1 and c = 0.75 the value 0.75 is a tie.
        "ties": np.array([[[[1.0, 0.75, 0.5, 0.25], [-1.0, -0.75, -0.5, -0.25], [0.125, -0.125, 0.0, -0.0]]]]),
        # Without values near the maximum but itself, inner bands are empty.
        "outlier": np.concatenate([rng.normal(0, 0.01, (1, 1, 5, 4)), np.full((1, 1, 1, 4), 3.0)], axis=2),
    }


@pytest.mark.parametrize("components", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("name", list(cases()))
def test_forward_and_gradients(name: str, components: int) -> None:
    v0 = cases()[name]
    scales = np.array([0.5, 0.25, 0.125, 1.5, 0.05][: components + 1])
    coefficients = [0.75] if name == "ties" and components == 1 else formulas.factors(components)
    grad = np.random.default_rng(components).normal(size=v0.shape)
    v = torch.tensor(v0, requires_grad=True)
    s = torch.tensor(scales, requires_grad=True)
    y = gsb_value(v, s, tuple(coefficients))
    y.backward(torch.tensor(grad))
    np.testing.assert_allclose(y.detach(), formulas.gsb_value(v0, scales, coefficients), rtol=1e-12)
    grad_v, grad_scales = formulas.gsb_value_gradients(v0, scales, coefficients, grad)
    assert v.grad is not None
    assert s.grad is not None
    np.testing.assert_allclose(v.grad, grad_v, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(s.grad, grad_scales, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("components", [0, 1, 2, 4])
@pytest.mark.parametrize("name", list(cases()))
def test_initial_scales_are_eq_34(name: str, components: int) -> None:
    v0 = cases()[name]
    coefficients = formulas.factors(components)
    fitted = fit_value_scales(torch.tensor(v0), tuple(coefficients))
    np.testing.assert_allclose(fitted, formulas.value_scales(v0, coefficients, MIN_SCALE), rtol=1e-9)
    assert torch.isfinite(fitted).all()


def test_initial_scales_solve_the_normal_equations_of_eq_33() -> None:
    v0 = np.random.default_rng(1).normal(0, 1, (2, 2, 16, 8))
    coefficients = formulas.factors(2)
    masks = formulas.gsb_value_masks(v0, coefficients)
    components = np.stack([(np.where(v0 < 0, -1.0, 1.0) * mask).reshape(-1) for mask in masks])
    exact = np.linalg.solve(components @ components.T, components @ v0.reshape(-1))
    np.testing.assert_allclose(fit_value_scales(torch.tensor(v0), tuple(coefficients)), exact, rtol=1e-9)


def test_window_bounds_are_open_for_the_first_and_closed_for_the_other_components() -> None:
    """Eq. 31 against Eq. 32, at |V| = b exactly: 1.0 is inside M_1, 0.25 is not."""
    v = torch.tensor([[[[1.0, -1.0, 0.25]]]], dtype=torch.float64, requires_grad=True)
    gsb_value(v, torch.tensor([0.25, 1.0], dtype=torch.float64), (0.75,)).sum().backward()
    assert v.grad is not None
    assert v.grad.flatten().tolist() == [1.0, 1.0, 0.0]


def test_extremes_are_each_images_own() -> None:
    v0 = torch.tensor(np.random.default_rng(2).normal(0, 1, (1, 2, 4, 5)))
    batch = torch.cat([v0, 100 * v0])
    scales = torch.tensor([0.3, 0.4, 0.5], dtype=torch.float64)
    torch.testing.assert_close(gsb_value(batch, scales)[:1], gsb_value(v0, scales), rtol=0, atol=0)


def test_components_add_up_and_are_ternary() -> None:
    v0 = torch.tensor(cases()["normal"])
    scales = torch.tensor([0.3, 0.4, 0.5], dtype=torch.float64)
    parts = value_components(v0, component_factors(2))
    assert set(parts.unique().tolist()) == {-1.0, 0.0, 1.0}
    assert parts[0].abs().eq(1).all()
    torch.testing.assert_close(torch.einsum("i,ibhnd->bhnd", scales, parts), gsb_value(v0, scales))

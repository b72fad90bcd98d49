"""Learned steps (LSQ) and the 8-bit offset."""

import numpy as np
import pytest
import torch

from bitvit.quantizers import (
    fake_integer_offset,
    fit_step,
    learned_step,
    learned_step_codes,
    quantize_offset,
    step_codes,
)
from tests.support import gsb_formulas as formulas


@pytest.mark.parametrize("step", [0.25, 0.01])
def test_learned_step_is_lsq(step: float) -> None:
    rng = np.random.default_rng(8)
    # Ties at half steps (even and odd), both bounds and their neighbours, far outside.
    edges = np.array([0.5, 1.5, -0.5, -2.5, 127, 127.4, 127.5, 130, -128, -128.25, -200, 0.0]) * step
    x = np.concatenate([rng.normal(0, 60 * step, 30), edges])
    grad = rng.normal(size=x.shape)
    x_t, s_t = torch.tensor(x, requires_grad=True), torch.tensor(step, dtype=torch.float64, requires_grad=True)
    y = learned_step(x_t, s_t, group_size=42)
    y.backward(torch.tensor(grad))
    expected, grad_x, grad_step = formulas.learned_step(x, step, grad, 42)
    np.testing.assert_allclose(y.detach(), expected, rtol=1e-12)
    assert x_t.grad is not None
    assert s_t.grad is not None
    np.testing.assert_allclose(x_t.grad, grad_x, rtol=1e-12)
    np.testing.assert_allclose(s_t.grad, grad_step, rtol=1e-10)


def test_one_step_for_each_output_channel() -> None:
    rng = np.random.default_rng(9)
    weight, grad, steps = rng.normal(size=(3, 2, 4, 4)), rng.normal(size=(3, 2, 4, 4)), np.array([0.01, 0.02, 0.5])
    w_t = torch.tensor(weight, requires_grad=True)
    s_t = torch.tensor(steps, requires_grad=True)
    y = learned_step(w_t, s_t[:, None, None, None], group_size=32)
    y.backward(torch.tensor(grad))
    assert w_t.grad is not None
    assert s_t.grad is not None
    for o in range(3):
        expected, grad_w, grad_step = formulas.learned_step(weight[o], steps[o], grad[o], 32)
        np.testing.assert_allclose(y[o].detach(), expected, rtol=1e-12)
        np.testing.assert_allclose(w_t.grad[o], grad_w, rtol=1e-12)
        assert s_t.grad[o].item() == pytest.approx(grad_step, rel=1e-10)


def test_codes_are_whole_numbers_within_int8() -> None:
    x = torch.linspace(-4, 4, 1001)
    codes = learned_step_codes(x, torch.tensor(0.02), 1)
    assert codes.eq(codes.round()).all()
    assert (codes.min().item(), codes.max().item()) == (-128, 127)
    assert codes.equal(step_codes(x, torch.tensor(0.02)))


def test_fitted_step_covers_the_range() -> None:
    x = torch.tensor([[0.5, -2.54, 1.0], [0.0, 0.0, 0.0]])
    assert fit_step(x).item() == pytest.approx(0.02)
    steps = fit_step(x, dim=(1,))
    assert steps.shape == (2, 1)
    torch.testing.assert_close(steps.flatten(), torch.tensor([0.02, 1.0]))
    assert step_codes(x[:1], steps[:1]).abs().max().item() == 127


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 4)])
def test_offset_is_rounded_to_what_its_int8_form_holds(shape: tuple[int, ...]) -> None:
    offset = np.random.default_rng(10).normal(0, 0.02, shape)
    phi = torch.tensor(offset, requires_grad=True)
    rounded = fake_integer_offset(phi)
    rounded.backward(torch.full(shape, 3.0, dtype=torch.float64))
    integers, scales = quantize_offset(phi.detach())
    assert integers.dtype == torch.int8
    assert scales.shape == (shape[0],)
    assert phi.grad is not None
    assert phi.grad.eq(3).all()
    for h in range(shape[0]):
        scale = np.abs(offset[h]).max() / 127
        expected = np.array([round(v / scale) for v in offset[h].flat]).reshape(shape[1:])
        np.testing.assert_array_equal(integers[h], expected)
        assert np.abs(integers[h].numpy().astype(int)).max() == 127
        np.testing.assert_allclose(rounded[h].detach(), expected * scale, rtol=1e-12)


def test_zero_offset_stays_zero() -> None:
    integers, scales = quantize_offset(torch.zeros(2, 3, 3))
    assert integers.eq(0).all()
    assert scales.eq(1).all()
    assert fake_integer_offset(torch.zeros(2, 3, 3)).eq(0).all()

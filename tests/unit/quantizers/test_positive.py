"""Positive scales: exact as they are set, moved in relative steps, never 0."""

import copy

import pytest
import torch
from torch import nn

from bitvit.quantizers import (
    LARGEST_DRIFT,
    MIN_SCALE,
    BandedAttention,
    ClippedAttention,
    DecomposedAttention,
    Estimator,
    GsbAttention,
    GsbValue,
    LearnedRound,
    LearnedSign,
    LearnedStepWeight,
    LowBitActivation,
    LowBitWeight,
    StepActivation,
    limit_drift,
)

ESTIMATORS = [
    LearnedSign((5,)),
    LearnedRound((5,)),
    StepActivation(5),
    LearnedStepWeight(5),
    GsbAttention(2, 5),
    GsbValue(2, 5),
    ClippedAttention(),
    DecomposedAttention(2),
    BandedAttention(),
    LowBitActivation(2),
    LowBitWeight(2),
]


@pytest.fixture(params=ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
def estimator(request: pytest.FixtureRequest) -> Estimator:
    found: Estimator = copy.deepcopy(request.param)
    return found


def test_a_value_is_kept_to_the_bit(estimator: Estimator) -> None:
    for name, value in estimator.scale_values().items():
        given = torch.rand_like(value) + 1e-3
        setattr(estimator, name, given)
        assert getattr(estimator, name).equal(given)
        assert estimator.get_parameter(f"log_{name}").eq(0).all()
        again = copy.deepcopy(estimator)
        again.load_state_dict(estimator.state_dict())
        assert getattr(again, name).equal(given)


def test_values_below_the_smallest_become_it(estimator: Estimator) -> None:
    for name, value in estimator.scale_values().items():
        for given in (0.0, -1.0):
            setattr(estimator, name, torch.full_like(value, given))
            assert (getattr(estimator, name) > 0).all()
            assert (getattr(estimator, name) <= MIN_SCALE * 1.0001).all()


def test_gradient_is_that_of_the_logarithm() -> None:
    sign = LearnedSign((3,))
    sign.scale = 0.2
    (3.0 * sign.scale).backward()
    assert sign.log_scale.grad is not None
    assert sign.log_scale.grad.item() == pytest.approx(0.6)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
@pytest.mark.parametrize("rate", [1e-3, 1.0])
def test_no_optimizer_makes_a_scale_zero(optimizer: type[torch.optim.Optimizer], rate: float) -> None:
    step = StepActivation(4)
    step.step = 5e-4
    torch_optimizer = optimizer([step.log_step], lr=rate)  # type: ignore[call-arg]
    for _ in range(50):
        torch_optimizer.zero_grad()
        (1e3 * step.step).backward()
        torch_optimizer.step()
        limit_drift([step.get_parameter("log_step")])
        assert step.step.item() > 5e-4 * torch.tensor(-LARGEST_DRIFT).exp().item() * 0.999
    (-1e3 * step.step).backward()


def test_old_names_are_refused() -> None:
    """A scale that an older bitvit stored must never be taken for a logarithm."""
    with pytest.raises(RuntimeError, match="raw_scale"):
        LearnedSign((3,)).load_state_dict({"shift": torch.zeros(3), "raw_scale": torch.ones(())})


def test_half_precision_and_devices_follow_the_module() -> None:
    module = nn.Sequential(LearnedSign((3,))).double()
    assert module[0].scale.dtype == torch.float64
    with torch.device("meta"):
        assert LearnedSign((3,)).scale.is_meta

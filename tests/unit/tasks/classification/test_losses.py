"""Eq. 36 against its own formula in float64 NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bitvit.tasks import Distillation
from bitvit.tasks.classification.losses import training_loss

Array = npt.NDArray[np.float64]
RNG = np.random.default_rng(11)
CLASS, DISTILLED, TEACHER = (RNG.normal(size=(6, 5)) * 3 for _ in range(3))
TARGETS = RNG.dirichlet(np.ones(5), size=6)


def cross_entropy(logits: Array, target: Array) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-(target * log_probability).sum(axis=1).mean())


def softmax(logits: Array) -> Array:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def expected_loss(kind: str, weight: float, temperature: float, one_head: bool) -> float:
    second = CLASS if one_head else DISTILLED
    if kind == "hard":
        other = cross_entropy(second, np.eye(5)[TEACHER.argmax(axis=1)])
    elif kind == "soft":
        other = temperature**2 * cross_entropy(second / temperature, softmax(TEACHER / temperature))
    else:
        other = cross_entropy(second, TARGETS)
    return (1 - weight) * cross_entropy(CLASS, TARGETS) + weight * other


@pytest.mark.parametrize("one_head", [False, True])
@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("kind", "temperature"), [("hard", 1.0), ("soft", 1.0), ("soft", 3.0), ("none", 1.0)])
def test_loss_is_the_formula(kind: str, temperature: float, weight: float, one_head: bool) -> None:
    settings = Distillation(kind=kind, weight=weight, temperature=temperature)  # type: ignore[arg-type]
    class_logits, distilled = torch.tensor(CLASS), torch.tensor(DISTILLED)
    output = class_logits if one_head else (class_logits, distilled)
    teacher = None if kind == "none" else torch.tensor(TEACHER)
    loss = training_loss(output, torch.tensor(TARGETS), teacher, settings)
    # Float64 on both sides; a few roundings apart.
    assert float(loss) == pytest.approx(expected_loss(kind, weight, temperature, one_head), rel=1e-12)


def test_gradient_of_soft_distillation_vanishes_at_the_teacher() -> None:
    logits = torch.tensor(TEACHER, requires_grad=True)
    settings = Distillation(kind="soft", weight=1.0, temperature=2.0)
    training_loss(logits, torch.tensor(TARGETS), torch.tensor(TEACHER), settings).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-15


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_both_heads_learn_from_the_teacher(kind: str) -> None:
    settings = Distillation(kind=kind, weight=0.3, temperature=4.0, heads="both")  # type: ignore[arg-type]
    heads = torch.from_numpy(CLASS), torch.from_numpy(DISTILLED)
    found = training_loss(heads, torch.from_numpy(TARGETS), torch.from_numpy(TEACHER), settings, temperature=2.0)
    taught = []
    for logits in (CLASS, DISTILLED):
        if kind == "hard":
            taught.append(cross_entropy(logits, np.eye(5)[TEACHER.argmax(axis=1)]))
        else:
            taught.append(4 * cross_entropy(logits / 2, softmax(TEACHER / 2)))
    expected = 0.7 * cross_entropy(CLASS, TARGETS) + 0.3 * (taught[0] + taught[1]) / 2
    np.testing.assert_allclose(float(found), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("schedule", "expected"), [("linear", [5.0, 4.0, 3.0, 2.0, 1.0]), ("cosine", [5.0, 4.4142, 3.0, 1.5858, 1.0])]
)
def test_temperature_goes_from_the_first_to_the_last(schedule: str, expected: list[float]) -> None:
    settings = Distillation(temperature=5.0, final_temperature=1.0, temperature_schedule=schedule)  # type: ignore[arg-type]
    found = [settings.temperature_at(progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert Distillation(temperature=5.0).temperature_at(0.7) == 5.0

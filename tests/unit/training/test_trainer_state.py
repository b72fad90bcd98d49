"""Which epoch's weights are kept as the best."""

from __future__ import annotations

import pytest

from bitvit.training.history import EpochRecord
from bitvit.training.report import BestEpoch
from bitvit.training.trainer_state import is_better


def record(epoch: int, loss: float | None) -> EpochRecord:
    return EpochRecord("stage2", epoch, 9, 1.0, loss, None if loss is None else {"top1": 0.5}, 1e-3, 1.0)


@pytest.mark.parametrize(
    ("value", "loss", "expected"),
    [
        (0.6, 9.0, True), (0.4, 0.1, False), (0.5, 0.6, True), (0.5, 0.7, False), (0.5, 0.8, False),
        (0.5, float("nan"), False),
    ],
)  # fmt: skip
def test_equal_epochs_are_told_apart_by_their_loss(value: float, loss: float, expected: bool) -> None:
    best = BestEpoch(2, "top1", 0.5, "model_best.safetensors")
    records = [record(1, None), record(2, 0.7), record(3, None), record(4, loss)]
    assert is_better(value, loss, best, records) == expected


def test_a_best_epoch_without_a_known_loss_stays() -> None:
    best = BestEpoch(2, "top1", 0.5, "model_best.safetensors")
    assert not is_better(0.5, 0.1, best, [])
    assert is_better(0.6, 0.1, best, [])

"""Runs of one seed differ in nothing but what their rows say: first weights, order, augmentation, mixing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bitvit.studies import load_study, plan_study
from bitvit.training import Recipe, data_of, train
from bitvit.training.phase_module import PhaseModule
from bitvit.training.student import Student

SCHEMES: dict[str, dict[str, Any]] = {
    "gsb": {},
    "baseline": {"model.scheme": "baseline"},
    "quantile": {"model.scheme": {"value_thresholds": "quantile"}},
}
SMALL = {
    "model.name": "gsb_deit_micro_patch8_32",
    "model.kwargs": {"depth": 1},
    "data.name": "digits",
    "data.samples_per_class": 8,
    "augmentation.mixup": 0.2,
    "stage1.epochs": 0,
    "stage2.epochs": 2,
    "calibration.images": 8,
}


def seen_by(
    recipe: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch, phase: str = "stage2"
) -> tuple[list[str], list[str]]:
    """Return digests of the batches that a phase takes, as they come and as they are mixed."""
    come: list[str] = []
    mixed: list[str] = []
    step = PhaseModule.training_step

    def watched(module: PhaseModule, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        plan = module._plan
        if plan.name == phase:
            come.append(digest(batch))
            objective = plan.objective
            mix = objective.mix

            def noted(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
                result = mix(images, targets)
                mixed.append(digest(result))
                return result

            with monkeypatch.context() as patch:
                patch.setattr(objective, "mix", noted)
                return step(module, batch, batch_idx)
        return step(module, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(PhaseModule, "training_step", watched)
        train(recipe, folder)
    return come, mixed


def digest(batch: tuple[Tensor, Tensor]) -> str:
    images, targets = batch
    return hashlib.sha256(images.numpy().tobytes() + targets.numpy().tobytes()).hexdigest()


def test_all_schemes_of_a_seed_see_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {
        name: seen_by(Recipe.load("study-binary", SMALL | scheme), tmp_path / name, monkeypatch)
        for name, scheme in SCHEMES.items()
    }
    come, mixed = seen["gsb"]
    assert len(come) == 4 == len(set(come)) and come != mixed
    assert all(other == (come, mixed) for other in seen.values())


def test_a_distilled_student_sees_what_the_others_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Recipe.load("study-binary", SMALL)
    taught = {"distillation.kind": "hard", "teacher.epochs": 1, "teacher.warmup_epochs": 0, "teacher.kwargs.depth": 1}
    distilled = Recipe.load("study-binary", SMALL | taught)
    first = seen_by(alone, tmp_path / "alone", monkeypatch)
    assert seen_by(distilled, tmp_path / "distilled", monkeypatch) == first
    other = seen_by(replace(alone, seed=1), tmp_path / "other", monkeypatch)
    assert set(other[0]).isdisjoint(first[0])


def first_weights(recipe: Recipe) -> dict[str, Tensor]:
    return dict(Student(recipe, data_of(recipe)).model.state_dict())


def test_all_rows_of_a_seed_start_with_the_same_weights() -> None:
    """Scales and offsets belong to a scheme and are fitted to data; weights do not know by what they are rounded."""
    runs = [run for run in plan_study(load_study("table-iv-64").smoked(), [0]) if run.row.recipe is None]
    weights = {run.name: first_weights(run.recipe) for run in runs}
    assert len(weights) == 6
    first = weights["gsb"]
    shared = [name for name in first if name.endswith(("qkv.weight", "proj.weight", "fc1.weight", "fc2.weight"))]
    shared += [name for name in first if name.endswith(("token", "pos_embed", "head.weight", "head_dist.weight"))]
    assert len(shared) >= 9
    for other in weights.values():
        assert all(torch.equal(first[name], other[name]) for name in shared)
    changed = first_weights(replace(runs[0].recipe, seed=1))
    assert not torch.equal(first["pos_embed"], changed["pos_embed"])

"""The comparison methods in the trainer: with and without a teacher, through its phases."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitvit.checkpoints import load_checkpoint
from bitvit.training import Recipe, RecipeError, train
from tests.support.tiny_training import tiny_recipe

METHODS = ("xnor", "bireal", "irnet", "rbnn", "recu", "reactnet")
NAMES = (*(f"test_{method}_resnet18" for method in METHODS), "test_resnet18", "test_qvit2_deit", "test_qvit1_deit")
ONE_EPOCH = {"teacher__epochs": 1, "teacher__warmup_epochs": 0, "stage1__epochs": 0, "stage2__epochs": 1}


def recipe(folder: Path, name: str, **overrides: object) -> Recipe:
    return tiny_recipe(
        folder, **{"model__name": name, "model__kwargs": {}, "model__init": "scratch", **ONE_EPOCH, **overrides}
    )


@pytest.mark.parametrize("name", NAMES)
def test_trains_without_a_teacher(name: str, tmp_path: Path) -> None:
    given = recipe(tmp_path / "data", name, distillation__kind="none")
    report = train(given, tmp_path / "run")
    assert [phase.phase for phase in report.phases] == ["stage2"]
    model, info = load_checkpoint(tmp_path / "run")
    assert info.model.name == name
    assert sum(parameter.numel() for parameter in model.parameters()) > 0


@pytest.mark.parametrize("name", ["test_rbnn_resnet18", "test_qvit2_deit"])
def test_trains_with_a_teacher_and_two_stages(name: str, tmp_path: Path) -> None:
    guided = {"distillation__distribution": 1.0, "model__init": "teacher"} if "qvit" in name else {}
    report = train(recipe(tmp_path / "data", name, stage1__epochs=1, **guided), tmp_path / "run")
    assert [phase.phase for phase in report.phases] == ["teacher", "stage1", "stage2"]


def test_distribution_guidance_is_for_qvit_with_a_teacher(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"distillation\.distribution: only Q-ViT"):
        train(recipe(tmp_path / "data", "test_gsb_deit", distillation__distribution=1.0), tmp_path / "run")
    other_patches = {"model__kwargs": {"patch_size": 2}, "model__init": "scratch", "distillation__distribution": 1.0}
    with pytest.raises(RecipeError, match=r"the teacher has \d+ tokens and the student \d+"):
        train(recipe(tmp_path / "data", "test_qvit2_deit", **other_patches), tmp_path / "run")
    with pytest.raises(RecipeError, match=r"distillation\.distribution: needs a teacher"):
        recipe(tmp_path / "data", "test_qvit2_deit", distillation__distribution=1.0, distillation__kind="none")

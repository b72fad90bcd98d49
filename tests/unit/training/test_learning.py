"""What a user is told of a phase that has learned nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitvit.tasks import task_named
from bitvit.tasks.classification import evaluate_logits
from bitvit.training import Recipe
from bitvit.training.learning import behind_its_teacher, nothing_learned
from bitvit.training.report import PhaseResult
from tests.unit.tasks.classification.test_evaluation import logits_of


def result(phase: str, right: int, epochs: int = 40) -> PhaseResult:
    targets = [index % 3 for index in range(36)]
    predicted = [target if index < right else (target + 1 + index % 2) % 3 for index, target in enumerate(targets)]
    evaluation = evaluate_logits(logits_of(predicted, 3), targets, "abc")
    return PhaseResult(phase, "model", Path("x"), epochs, 1.0, evaluation)


RECIPE = Recipe.load("gsb-micro", {"least_steps": 0})


@pytest.mark.parametrize("phase", ["teacher", "stage1", "stage2"])
def test_what_is_clearly_learned_is_no_matter(phase: str) -> None:
    assert nothing_learned(result(phase, 30), RECIPE, 144, True) is None


@pytest.mark.parametrize("phase", ["teacher", "stage1", "stage2"])
@pytest.mark.parametrize("right", [8, 14, 18])
def test_a_small_set_of_photos_seen_too_seldom(phase: str, right: int) -> None:
    line = nothing_learned(result(phase, right), RECIPE, 144, True)
    assert line is not None and "\n" not in line
    assert line.startswith(f"{phase}: top-1 {right / 36:.2%} of 36 images is not clearly above guessing (")
    assert f"160 updates only: try {phase}.epochs=750" in line


def test_too_few_images_to_tell() -> None:
    evaluation = evaluate_logits(logits_of([0, 1, 2], 3), [0, 1, 2], "abc")
    line = nothing_learned(PhaseResult("teacher", "m", Path("x"), 40, 1.0, evaluation), RECIPE, 144, True)
    assert line is not None and "too few" in line and "data.val_fraction" in line and "updates" not in line


def test_always_the_frequent_class_asks_for_balance() -> None:
    evaluation = evaluate_logits(logits_of([0] * 400, 2), [0] * 360 + [1] * 40, ["common", "rare"])
    found = PhaseResult("stage2", "m", Path("x"), 40, 1.0, evaluation)
    line = nothing_learned(found, RECIPE, 144, True)
    assert line is not None and "taken for 'common': try data.balance=sampling" in line
    balanced = nothing_learned(
        found, Recipe.load("gsb-micro", {"least_steps": 0, "data.balance": "sampling"}), 144, True
    )
    assert balanced is not None and "updates only" in balanced


def test_images_known_by_heart_need_no_more_updates() -> None:
    teacher = result("teacher", 14, 12)
    loss = teacher.evaluation.loss
    line = nothing_learned(teacher, RECIPE, 57, True, loss / 3)
    assert line is not None and "it knows its 57 training images by heart (loss" in line
    assert "more images help, or a teacher that was trained on more (--teacher FILE)" in line and "updates" not in line
    student = nothing_learned(result("stage2", 14, 12), RECIPE, 57, True, loss / 3)
    assert student is not None and student.endswith("more images help")
    for other in (None, loss):
        again = nothing_learned(teacher, RECIPE, 57, True, other)
        assert again is not None and "updates only" in again


def test_other_reasons() -> None:
    many = nothing_learned(result("teacher", 12), RECIPE, 20_000, True)
    assert many is not None and "learning_rate=0.00033" in many and "--teacher" in many and "class folders" in many
    after = nothing_learned(result("stage2", 12), RECIPE, 20_000, True)
    assert after is not None and "stage2.epochs=80" in after
    lost = nothing_learned(result("stage1", 12), RECIPE, 20_000, False)
    assert lost is not None and "its teacher learned nothing; fix that first" in lost
    loaded = nothing_learned(result("teacher", 12, epochs=0), RECIPE, 20_000, True)
    assert loaded is not None and "data.class_order" in loaded


def test_updates_are_those_of_epochs_that_take_few_images_several_times() -> None:
    recipe = Recipe.load("gsb-micro", {"least_steps": 10})
    line = nothing_learned(result("teacher", 12), recipe, 144, True)  # 3 times 144 images are 13 batches of 32
    assert line is not None and "520 updates only: try teacher.epochs=231" in line


def test_a_student_far_below_its_teacher_is_told_what_helps() -> None:
    task = task_named("classification")
    phases = [result("teacher", 34, 12), result("stage1", 30, 8), result("stage2", 24, 10)]
    line = behind_its_teacher(phases, task)
    assert line is not None and "\n" not in line
    assert line.startswith("top-1 66.67% is 27.8 points below the teacher's 94.44%: more images help most")
    assert line.endswith("else try stage1.epochs=24 stage2.epochs=30")
    assert behind_its_teacher([*phases[:2], result("stage2", 33)], task) is None
    assert behind_its_teacher([*phases[:2], result("stage2", 12)], task) is None  # which is warned of
    assert behind_its_teacher(phases[:1], task) is None
    assert behind_its_teacher(phases[1:], task) is None

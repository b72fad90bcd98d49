"""Whether a phase has learned anything, and what to try where it has not."""

from __future__ import annotations

from collections.abc import Sequence

from bitvit.tasks import Task
from bitvit.training.batches import steps_per_epoch
from bitvit.training.recipe import Recipe, Schedule
from bitvit.training.report import PhaseResult

__all__ = ["behind_its_teacher", "nothing_learned"]

_FAR_BELOW = 0.05
"""Of the metric, a share; nearer is as near as a small set of validation images can tell."""
_BY_HEART = 2
"""Times the loss on training images that the loss on new ones is where more updates do not help."""
_ENOUGH_UPDATES = 1500
"""Fewer are hardly enough for a network that begins from scratch; the packaged recipes make more."""


def nothing_learned(
    result: PhaseResult, recipe: Recipe, train_images: int, teacher_learned: bool, train_loss: float | None = None
) -> str | None:
    """Return one line that says that a phase's network is not clearly above guessing, and what to try; else None.

    Args:
        result: of the phase.
        recipe: of the run.
        train_images: their number.
        teacher_learned: whether the run's teacher is clearly above guessing, or there is none.
        train_loss: mean of the phase's last epoch, if known.
    """
    doubt = result.evaluation.doubt()
    if doubt is None:
        return None
    name = result.phase if result.epochs else f"the teacher {recipe.teacher.weights}"
    if doubt.too_few:
        return f"{name}: {doubt.text}: hold out more (data.val_fraction) or cross-validate (--folds 5)"
    if doubt.frequent is not None and result.epochs and recipe.data.balance == "none":
        return f"{name}: {doubt.text}: try data.balance=sampling, so that all classes are seen equally often"
    if not result.epochs:
        return (
            f"{name}: {doubt.text}: check that its classes are in the same order (data.class_order: natural or "
            "alphabetical) and its images were prepared in the same way"
        )
    loss = result.evaluation.loss
    if train_loss is not None and _BY_HEART * train_loss < loss and (teacher_learned or result.phase == "teacher"):
        other = ", or a teacher that was trained on more (--teacher FILE)" if result.phase == "teacher" else ""
        return (
            f"{name}: {doubt.text}: it knows its {train_images:,} training images by heart (loss {train_loss:.2f}, "
            f"on new ones {loss:.2f}): more images help{other}"
        )
    return f"{result.phase}: {doubt.text}: {_advice(result, recipe, train_images, teacher_learned)}"


def behind_its_teacher(results: Sequence[PhaseResult], task: Task) -> str | None:
    """Return one line that says how far a 1-bit network is below its teacher, and what to try; None if it is near.

    Args:
        results: of all phases.
        task: what the networks are for.
    """
    first, last = results[0], results[-1]
    if first.phase != "teacher" or last.phase == "teacher" or last.evaluation.doubt() is not None:
        return None
    metric = task.metrics[0]
    taught, learned = (result.evaluation.metrics()[metric.key] for result in (first, last))
    if taught - learned < _FAR_BELOW:
        return None
    longer = " ".join(f"{result.phase}.epochs={3 * result.epochs}" for result in results[1:] if result.epochs)
    return (
        f"{metric.title} {learned:.2%} is {100 * (taught - learned):.1f} points below the teacher's {taught:.2%}: "
        f"more images help most; else try {longer}"
    )


def _advice(result: PhaseResult, recipe: Recipe, train_images: int, teacher_learned: bool) -> str:
    if result.phase != "teacher" and not teacher_learned:
        return "its teacher learned nothing; fix that first"
    schedule: Schedule = {"teacher": recipe.teacher, "stage1": recipe.stage1, "stage2": recipe.stage2}[result.phase]
    steps = max(steps_per_epoch(train_images, recipe.batch_size, recipe.least_steps), 1)
    updates = result.epochs * steps
    if updates < _ENOUGH_UPDATES:
        enough = -(-2 * _ENOUGH_UPDATES // steps)
        other = ", or a teacher that was trained on more images (--teacher FILE)" if result.phase == "teacher" else ""
        return f"it was trained for {updates} updates only: try {result.phase}.epochs={enough}{other}"
    others = f"{result.phase}.learning_rate={schedule.learning_rate / 3:.2g}"
    if result.phase == "teacher":
        return (
            f"check that the pictures are in the right class folders; then try {others}, more images, or a teacher "
            "that was trained on more (--teacher FILE)"
        )
    return f"try {others}, or twice the epochs ({result.phase}.epochs={2 * result.epochs})"

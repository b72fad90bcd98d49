"""Values of a recipe that have the right type and still make no sense."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bitvit.training.errors import RecipeError

if TYPE_CHECKING:
    from bitvit.training.recipe import Recipe, Schedule

__all__ = ["check_recipe"]


def check_recipe(recipe: Recipe) -> None:
    """Refuse values that make no sense.

    Raises:
        RecipeError: for the first of them; the message names the key.
    """

    def demand(condition: bool, key: str, message: str) -> None:
        if not condition:
            raise RecipeError(f"{key}: {message}")

    data, augmentation, distillation = recipe.data, recipe.augmentation, recipe.distillation
    demand(recipe.seed >= 0, "seed", "must not be negative")
    demand(recipe.batch_size >= 1, "batch_size", "must be at least 1")
    demand(recipe.least_steps >= 0, "least_steps", "must not be negative")
    demand(0 < data.crop_fraction <= 1, "data.crop_fraction", "must be above 0 and at most 1")
    demand(data.bit_depth is None or 1 <= data.bit_depth <= 32, "data.bit_depth", "must be from 1 to 32, or null")
    demand(data.channels in (1, 3, 4), "data.channels", "must be 1 (grey), 3 (RGB) or 4")
    demand(data.max_pixels >= 1, "data.max_pixels", "must be at least 1")
    low, high = augmentation.scale
    demand(
        0 < low <= high <= 1, "augmentation.scale", "must be two fractions of the area, 0 < smallest <= largest <= 1"
    )
    demand(
        0 < augmentation.ratio[0] <= augmentation.ratio[1], "augmentation.ratio", "must be smallest <= largest, above 0"
    )
    for key in ("horizontal_flip", "vertical_flip", "random_erasing", "mix_probability", "switch_probability"):
        demand(0 <= getattr(augmentation, key) <= 1, f"augmentation.{key}", "must be a probability, 0 to 1")
    for key in ("mixup", "cutmix", "color_jitter"):
        demand(getattr(augmentation, key) >= 0, f"augmentation.{key}", "must not be negative")
    demand(augmentation.repeats >= 1, "augmentation.repeats", "must be at least 1")
    demand(0 <= augmentation.label_smoothing < 1, "augmentation.label_smoothing", "must be at least 0 and below 1")
    demand(
        recipe.model.weights is None or recipe.model.init == "scratch",
        "model.weights",
        "and model.init=teacher both define the initial weights: choose one",
    )
    demand(0 <= recipe.model.gamma_switch <= 1, "model.gamma_switch", "must be a fraction of the last stage, 0 to 1")
    demand(0 <= distillation.weight <= 1, "distillation.weight", "must be from 0 to 1")
    demand(distillation.temperature > 0, "distillation.temperature", "must be above 0")
    final = distillation.final_temperature
    demand(final is None or final > 0, "distillation.final_temperature", "must be above 0, or null")
    demand(distillation.distribution >= 0, "distillation.distribution", "must not be negative")
    demand(
        distillation.distribution == 0 or recipe.distills,
        "distillation.distribution",
        "needs a teacher: set distillation.kind",
    )
    for key in ("speed", "step_speed", "eps"):
        demand(getattr(recipe.scales, key) > 0, f"scales.{key}", "must be above 0")
    oscillation = recipe.regularization.weight_oscillation
    demand(
        0 <= oscillation < 1,
        "regularization.weight_oscillation",
        "must be a fraction of the loss, at least 0 and below 1",
    )
    demand(
        0 <= recipe.regularization.from_ < 1,
        "regularization.from",
        "must be a share of the epochs, at least 0 and below 1",
    )
    demand(recipe.ema.decay is None or 0 < recipe.ema.decay < 1, "ema.decay", "must be between 0 and 1, or null")
    demand(recipe.calibration.images >= 1, "calibration.images", "must be at least 1")
    demand(recipe.validation.every_epochs >= 1, "validation.every_epochs", "must be at least 1")
    demand(recipe.validation.batch_size >= 1, "validation.batch_size", "must be at least 1")
    demand(recipe.runtime.workers >= 0, "runtime.workers", "must not be negative")
    demand(recipe.runtime.image_cache_mib >= 0, "runtime.image_cache_mib", "must not be negative")
    demand(recipe.runtime.threads is None or recipe.runtime.threads >= 1, "runtime.threads", "must be at least 1")
    runtime = recipe.runtime
    if runtime.cuda_graphs:
        demand(recipe.precision in ("32", "64"), "runtime.cuda_graphs", "needs precision=32 or precision=64")
        demand(not runtime.compile, "runtime.cuda_graphs", "and runtime.compile exclude each other: choose one")
        demand(distillation.distribution == 0, "runtime.cuda_graphs", "excludes distillation.distribution")
        demand(str(runtime.devices) == "1" and runtime.nodes == 1, "runtime.cuda_graphs", "needs a single device")
    for section in ("teacher", "stage1", "stage2"):
        schedule: Schedule = getattr(recipe, section)
        demand(schedule.epochs >= 0, f"{section}.epochs", "must not be negative")
        demand(schedule.learning_rate > 0, f"{section}.learning_rate", "must be above 0")
        demand(
            0 <= schedule.min_learning_rate <= schedule.learning_rate,
            f"{section}.min_learning_rate",
            "must be from 0 to learning_rate",
        )
        demand(schedule.weight_decay >= 0, f"{section}.weight_decay", "must not be negative")
        is_used = schedule.epochs > 0
        demand(
            schedule.warmup_epochs >= 0 and (not is_used or schedule.warmup_epochs < schedule.epochs),
            f"{section}.warmup_epochs",
            "must be at least 0 and fewer than the epochs",
        )
        clip = schedule.clip_gradient
        demand(clip is None or clip > 0, f"{section}.clip_gradient", "must be above 0, or null")
    demand(
        recipe.stage1.epochs + recipe.stage2.epochs > 0,
        "stage2.epochs",
        "neither stage has any epoch, so nothing would be trained",
    )
    teacher = recipe.teacher
    demand(
        not teacher.pretrained or teacher.weights is None,
        "teacher.pretrained",
        "and teacher.weights both define the teacher's first weights: choose one",
    )
    _check_teacher_images(recipe, demand)
    has_teacher = teacher.epochs > 0 or teacher.weights is not None or teacher.pretrained
    demand(
        not recipe.needs_teacher or has_teacher,
        "teacher.epochs",
        "the teacher is neither trained (epochs) nor loaded (teacher.weights, teacher.pretrained); "
        "without one set distillation.kind=none and model.init=scratch",
    )


def _check_teacher_images(recipe: Recipe, demand: Callable[[bool, str, str], None]) -> None:
    choice = recipe.teacher.data
    if choice is None:
        return
    samples = choice.samples_per_class
    demand(samples is None or samples >= 1, "teacher.data.samples_per_class", "must be at least 1, or null for all")
    demand(0 <= choice.label_noise <= 1, "teacher.data.label_noise", "must be a fraction, 0 to 1")
    demand(
        not recipe.needs_teacher or recipe.teacher.epochs > 0,
        "teacher.data",
        "the teacher is taken as it is (teacher.epochs=0), so it sees no images: set teacher.data=null",
    )
    demand(
        recipe.task.name == "classification",
        "teacher.data",
        f"is for classification, not for {recipe.task.name}: give a trained teacher (teacher.weights)",
    )

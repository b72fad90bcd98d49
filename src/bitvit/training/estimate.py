"""How long a run will take and how much memory, from one training step of each phase."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bitvit.checkpoints import build_model
from bitvit.models import set_stage
from bitvit.training.batches import steps_per_epoch
from bitvit.training.fit_context import computing_threads, kept_random_state
from bitvit.training.seeding import isolated_randomness
from bitvit.training.teacher import teacher_spec

if TYPE_CHECKING:
    from bitvit.training.run import Run

__all__ = ["Estimate", "describe_cpu", "estimate"]

_TRIAL_IMAGES = 8
_TRIALS = 3
"""Steps, of which the median counts: on a busy machine one may take twice as long as the next."""
_MIB = 1 << 20


@dataclass(frozen=True)
class Estimate:
    """What a run costs, about.

    Attributes:
        minutes: of each phase that is still to be trained, by its name.
        memory_bytes: of weights, gradients, the optimizer and what is kept for the backward pass; without PyTorch
            itself and the images.
        device: where it was measured.
    """

    minutes: dict[str, float]
    memory_bytes: int
    device: str

    def __str__(self) -> str:
        total = sum(self.minutes.values())
        parts = ", ".join(f"{phase} {_duration(minutes)}" for phase, minutes in self.minutes.items())
        memory = (
            f"{max(self.memory_bytes / _MIB, 1):.0f} MiB"
            if self.memory_bytes < 1 << 30
            else (f"{self.memory_bytes / (1 << 30):.1f} GiB")
        )
        return f"about {_duration(total)} on {self.device} ({parts}) and {memory} of memory beside PyTorch's own"


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{max(round(60 * minutes), 1)} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def estimate(run: Run) -> Estimate:
    """Measure one step of each unfinished phase on a few images, and how long images take to be prepared.

    Neither weights nor random numbers of the run change.
    """
    recipe = run.recipe
    use_gpu = torch.cuda.is_available() and recipe.runtime.accelerator in ("auto", "gpu", "cuda")
    device = torch.device("cuda" if use_gpu else "cpu")
    minutes: dict[str, float] = {}
    memory = 0
    with kept_random_state(), computing_threads(recipe.runtime.threads):
        decoding, seconds_per_image, bytes_per_image = _preparation(run)
        cache_bytes = 0
        for phase in run.phases:
            if phase.is_finished or not phase.schedule.epochs:
                continue
            is_teacher = phase.name == "teacher"
            count = len(run.data_for(phase.name).train)
            kept_bytes = min(recipe.runtime.image_cache_mib << 20, bytes_per_image * count)
            cache_bytes = max(cache_bytes, kept_bytes)
            prepared = seconds_per_image + (1 - kept_bytes / (bytes_per_image * count)) * decoding
            if is_teacher:
                model = build_model(teacher_spec(recipe, run.classes.labels))
            else:
                model = copy.deepcopy(run.student.model)
                if run.student.is_binary:
                    set_stage(model, "weights" if phase.name == "stage1" else "full")
            forward, step, kept = _step(model.to(device).train(), run, device)
            teacher_share = forward if recipe.distills and not is_teacher else 0.0
            compute = step + teacher_share
            workers = recipe.runtime.workers
            per_image = max(compute, prepared / workers) if workers else compute + prepared
            steps = steps_per_epoch(count, recipe.batch_size, recipe.least_steps)
            validations = -(-phase.schedule.epochs // recipe.validation.every_epochs)
            images = phase.schedule.epochs * steps * recipe.batch_size
            once = decoding * count if not minutes or run.teacher_data is not run.data else 0
            minutes[phase.name] = (once + images * per_image + validations * len(run.data.val) * forward) / 60
            weights = sum(value.numel() * value.element_size() for value in model.parameters())
            memory = max(memory, 4 * weights + round(kept * recipe.batch_size))
        device_name = torch.cuda.get_device_name() if use_gpu else describe_cpu(torch.get_num_threads())
    return Estimate(minutes, memory + cache_bytes, device_name)


def describe_cpu(threads: int) -> str:
    """Return how many threads compute, in words."""
    return f"{threads} CPU thread{'' if threads == 1 else 's'}"


def _preparation(run: Run) -> tuple[float, float, int]:
    """Return seconds to decode one training image, seconds to change it, and bytes of it when it is kept."""
    objective = run.objective(run.student.preprocessing, distills=False)
    count = min(_TRIAL_IMAGES, len(run.data.train))
    positions = [index * len(run.data.train) // count for index in range(count)]
    cache = run.images_for("stage2")
    begin = time.perf_counter()
    images = [cache.image(position) for position in positions]
    middle = time.perf_counter()
    with isolated_randomness("estimate"):
        for position, image in zip(positions, images, strict=True):
            objective.augment(image, cache.target(position))
    end = time.perf_counter()
    size_bytes = sum(image.width * image.height * len(image.getbands()) for image in images)
    return (middle - begin) / count, (end - middle) / count, -(-size_bytes // count)


def _step(model: nn.Module, run: Run, device: torch.device) -> tuple[float, float, float]:
    """Return seconds of a forward pass, seconds of a whole step, and bytes kept for the backward pass, per image."""
    preprocessing = run.student.preprocessing
    count = min(_TRIAL_IMAGES, run.recipe.batch_size)
    images = torch.randn((count, len(preprocessing.mean), *preprocessing.image_size), device=device)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _loss(model(images)).backward()  # type: ignore[no-untyped-call]
    own = {value.untyped_storage().data_ptr() for value in model.parameters()}
    kept_bytes = sum(size for pointer, size in kept.items() if pointer not in own)
    forward, whole = [], []
    for _ in range(_TRIALS):
        begin = _now(device)
        with torch.no_grad():
            model(images)
        middle = _now(device)
        _loss(model(images)).backward()  # type: ignore[no-untyped-call]
        forward.append(middle - begin)
        whole.append(_now(device) - middle)
    return median(forward) / count, median(whole) / count, kept_bytes / count


def _loss(output: Any) -> Tensor:
    heads = output if isinstance(output, tuple) else (output,)
    total: Tensor = sum((head.float().mean() for head in heads), torch.zeros((), device=heads[0].device))
    return total


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()

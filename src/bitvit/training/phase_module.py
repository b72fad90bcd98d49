"""One phase of training as a LightningModule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule
from timm.scheduler import CosineLRScheduler, PolyLRScheduler
from timm.scheduler.scheduler import Scheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from bitvit.models import set_attention_phase, start_epoch, weight_oscillation_loss
from bitvit.program import Preprocessing
from bitvit.tasks import Classes, Evaluation, Task
from bitvit.tasks.objective import Objective
from bitvit.training.compilation import check_compiled
from bitvit.training.cuda_graphs import capture_passes
from bitvit.training.distribution_guidance import DistributionGuidance
from bitvit.training.errors import TrainingError
from bitvit.training.evaluation import normalize
from bitvit.training.optimization import create_optimizer
from bitvit.training.phase_names import PhaseName
from bitvit.training.recipe import Recipe, Schedule
from bitvit.training.seeding import isolated_randomness, seed_torch
from bitvit.training.teacher import Teacher

__all__ = ["PhaseModule", "PhasePlan"]

_FINITE_CHECK_STEPS = 20
_POLY_POWER = 0.9


@dataclass(frozen=True)
class PhasePlan:
    """What a phase trains, and how.

    Attributes:
        name: of the phase.
        recipe: of the run.
        schedule: the recipe's for this phase.
        task: what the network is for.
        classes: what it tells apart.
        objective: what is minimized.
        preprocessing: of the images as the network takes them.
        teacher: None without distillation.
        steps_per_epoch: batches of an epoch.
    """

    name: PhaseName
    recipe: Recipe
    schedule: Schedule
    task: Task
    classes: Classes
    objective: Objective
    preprocessing: Preprocessing
    teacher: Teacher | None
    steps_per_epoch: int


class PhaseModule(LightningModule):
    """Trains one model for one phase.

    Mixing, distillation loss, optimizer, cosine schedule, moving average, validation.

    Everything random in a step is drawn from (seed, phase, step), and the learning rate is a function of the step, so
    that the state between two epochs is the weights and the optimizer's moments only.
    """

    def __init__(self, model: nn.Module, plan: PhasePlan) -> None:
        super().__init__()
        self.model = model
        self._plan = plan
        recipe = plan.recipe
        self.ema: ModelEmaV3 | None = None
        if recipe.ema.decay is not None:
            self.ema = ModelEmaV3(model, decay=recipe.ema.decay, use_warmup=recipe.ema.warmup)
            self.ema.requires_grad_(False)
        self._guidance: DistributionGuidance | None = None
        if plan.teacher is not None and recipe.distillation.distribution > 0:
            self._guidance = DistributionGuidance(model, plan.teacher.model)
        self._is_first_step = True
        self._train_sums = torch.zeros(2, dtype=torch.float64)
        self._scorer = plan.task.scorer(plan.classes, plan.preprocessing)
        self.train_loss = float("nan")
        """Mean training loss of the last epoch."""
        self.evaluation: Evaluation | None = None
        """Figures of the last epoch on the validation images, or None where it had no validation."""

    @property
    def task(self) -> Task:
        """What the network is for."""
        return self._plan.task

    # Training

    def on_fit_start(self) -> None:
        """Bring the teacher to the device."""
        if self._plan.teacher is not None:
            self._plan.teacher.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Set the sums of the loss to 0, and tell the layers how far training is."""
        self._train_sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        self.evaluation = None
        epochs, switch = self._plan.schedule.epochs, self._plan.recipe.model.gamma_switch
        is_late = self._plan.name == "stage2" and switch < 1 and self.current_epoch >= switch * epochs
        set_attention_phase(self.model, 2 if is_late else 1)
        start_epoch(self.model, self.current_epoch / max(epochs, 1))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch: images float `[B,C,H,W]` and what the task takes as their targets.

        Raises:
            TrainingError: the loss is not finite.
        """
        plan, recipe = self._plan, self._plan.recipe
        with isolated_randomness(recipe.seed, plan.name, "mixup", self.global_step):
            images, targets = plan.objective.mix(*batch)
        teacher_output = plan.teacher.output(images) if plan.teacher is not None else None
        if self._is_first_step:
            self._is_first_step = False
            if recipe.runtime.cuda_graphs:
                capture_passes(self.model, images)
            if recipe.runtime.compile:
                check_compiled(self.model, images)
        seed_torch(recipe.seed, plan.name, "step", self.global_step, self.global_rank)
        plan.objective.progress = min(self.global_step / max(plan.schedule.epochs * plan.steps_per_epoch - 1, 1), 1.0)
        loss = plan.objective.loss(self.model(images), targets, teacher_output)
        if self._guidance is not None:
            loss = loss + recipe.distillation.distribution * self._guidance.loss()
        share = recipe.regularization.weight_oscillation
        is_due = self.current_epoch >= recipe.regularization.from_ * plan.schedule.epochs
        if share > 0 and is_due and plan.name != "teacher":
            loss = (1 - share) * loss + share * weight_oscillation_loss(self.model)
        is_cheap_to_look = self.device.type == "cpu" or batch_idx % _FINITE_CHECK_STEPS == 0
        if is_cheap_to_look and not bool(torch.isfinite(loss)):
            self._diverged()
        self._train_sums += torch.stack([loss.detach() * len(images), loss.new_tensor(len(images))]).to(
            self._train_sums
        )
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the averaged weights."""
        if self.ema is not None:
            self.ema.update(self.model, step=self.global_step)

    def on_train_epoch_end(self) -> None:
        """Set `train_loss`, the mean over the images of the epoch.

        Raises:
            TrainingError: it is not finite.
        """
        loss, count = self._over_processes(self._train_sums).tolist()
        self.train_loss = loss / count
        if not self.train_loss < float("inf"):
            self._diverged()

    def _diverged(self) -> None:
        name = self._plan.name
        raise TrainingError(
            f"the loss is no longer finite ({name}, epoch {self.current_epoch + 1}): "
            f"lower {name}.learning_rate, set {name}.clip_gradient=1, or use precision=32"
        )

    # Validation

    def on_validation_epoch_start(self) -> None:
        """Begin a new evaluation."""
        self._scorer = self._plan.task.scorer(self._plan.classes, self._plan.preprocessing)

    def validation_step(self, batch: tuple[Tensor, Sequence[Any]], batch_idx: int) -> None:
        """Add the outputs for one batch, images uint8 `[B,H,W,C]`, to the evaluation."""
        images, targets = batch
        dtype = next(self.model.parameters()).dtype
        output: Tensor = self.model(normalize(images, self._plan.preprocessing).to(dtype))
        self._scorer.add(output.float().cpu().numpy(), targets)

    def on_validation_epoch_end(self) -> None:
        """Set `evaluation`, over the images of all processes."""
        sums = self._over_processes(torch.from_numpy(self._scorer.sums).to(self.device))
        self._scorer.sums = sums.cpu().numpy()
        self.evaluation = self._scorer.result()

    def _over_processes(self, sums: Tensor) -> Tensor:
        reduced = self.trainer.strategy.reduce(sums, reduce_op="sum")
        assert isinstance(reduced, Tensor)
        return reduced

    # Optimization

    def configure_optimizers(self) -> Any:
        """Return the optimizer, and the schedule of its learning rate, which is stepped after every batch."""
        schedule = self._plan.schedule
        recipe = self._plan.recipe
        optimizer = create_optimizer(self.model, self._plan.name, schedule, recipe.precision, recipe.scales)
        total = schedule.epochs * self._plan.steps_per_epoch
        choice: dict[str, Any] = {
            "t_initial": max(total, 2),
            "lr_min": schedule.min_learning_rate,
            "warmup_t": round(schedule.warmup_epochs * self._plan.steps_per_epoch),
            "warmup_lr_init": schedule.learning_rate * 1e-3,
            "t_in_epochs": False,
        }
        scheduler: Scheduler
        if schedule.schedule == "poly":
            scheduler = PolyLRScheduler(optimizer, power=_POLY_POWER, **choice)
        else:
            scheduler = CosineLRScheduler(optimizer, **choice)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the stored schedule of the learning rate out."""
        # The schedule is that of the recipe, which may have more epochs than the one that the state was saved under.
        checkpoint["lr_schedulers"] = []

    def on_train_start(self) -> None:
        """Bring the learning rate to the step that a resumed phase goes on with."""
        if self.global_step > 0:
            scheduler: Any = self.lr_schedulers()
            scheduler.step_update(self.global_step)

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Set the learning rate of the next step."""
        scheduler.step_update(self.global_step)

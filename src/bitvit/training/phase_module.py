"""One phase of training as a LightningModule."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F

from bitvit.models import no_weight_decay, set_attention_phase, start_epoch, weight_oscillation_loss
from bitvit.program import Preprocessing
from bitvit.training.augmentation import BatchMixer
from bitvit.training.distribution_guidance import DistributionGuidance
from bitvit.training.errors import RecipeError, TrainingError
from bitvit.training.evaluation import normalize
from bitvit.training.losses import training_loss
from bitvit.training.recipe import Distillation, Recipe, Schedule
from bitvit.training.seeding import seed_torch

__all__ = ["PhaseModule", "Teacher"]

_FINITE_CHECK_STEPS = 20


class Teacher:
    """A frozen model that sees the student's images under its own normalization.

    Deliberately no module, so that it is no part of checkpoints.
    """

    def __init__(self, model: nn.Module, own: Preprocessing, student: Preprocessing) -> None:
        if own.image_size != student.image_size:
            raise RecipeError(
                f"teacher.model: takes images of {own.image_size[0]} x {own.image_size[1]}, the student of "
                f"{student.image_size[0]} x {student.image_size[1]}: choose models of one image size"
            )
        self._model = model.eval().requires_grad_(False)
        self._dtype = next(model.parameters()).dtype
        self._scale: Tensor | None = None
        if (own.mean, own.std) != (student.mean, student.std):
            mean, std = torch.tensor(own.mean), torch.tensor(own.std)
            self._scale = (torch.tensor(student.std) / std).view(3, 1, 1)
            self._offset = ((torch.tensor(student.mean) - mean) / std).view(3, 1, 1)

    @property
    def model(self) -> nn.Module:
        """The frozen model."""
        return self._model

    def to(self, device: torch.device) -> None:
        """Move the teacher to a device."""
        self._model.to(device)
        if self._scale is not None:
            self._scale, self._offset = self._scale.to(device), self._offset.to(device)

    @torch.no_grad()
    def logits(self, images: Tensor) -> Tensor:
        """Logits `[B,classes]` of images normalized for the student `[B,3,H,W]`."""
        images = images.to(self._dtype)
        if self._scale is not None:
            images = images * self._scale + self._offset
        output: Tensor = self._model(images)
        return output.float()


class PhaseModule(LightningModule):
    """Trains one model for one phase: mixing, distillation loss, optimizer, cosine schedule, moving average,
    validation.

    Everything random in a step is drawn from (seed, phase, step), and the learning rate is a function of the step, so
    that the state between two epochs is the weights and the optimizer's moments only.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        phase: str,
        schedule: Schedule,
        preprocessing: Preprocessing,
        n_classes: int,
        steps_per_epoch: int,
        distillation: Distillation,
        teacher: Teacher | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.ema: ModelEmaV3 | None = None
        if recipe.ema.decay is not None:
            self.ema = ModelEmaV3(model, decay=recipe.ema.decay, use_warmup=recipe.ema.warmup)
            self.ema.requires_grad_(False)
        self._recipe = recipe
        self._phase = phase
        self._schedule = schedule
        self._preprocessing = preprocessing
        self._steps_per_epoch = steps_per_epoch
        self._distillation = distillation
        self._teacher = teacher
        self._guidance: DistributionGuidance | None = None
        if teacher is not None and distillation.distribution > 0:
            self._guidance = DistributionGuidance(model, teacher.model)
        self._mixer = BatchMixer(recipe.augmentation, n_classes)
        self._train_sums = torch.zeros(2, dtype=torch.float64)
        self._val_sums = torch.zeros(4, dtype=torch.float64)
        self.train_loss = float("nan")
        """Mean training loss of the last epoch."""
        self.val_figures: tuple[float, float, float] | None = None
        """(loss, top-1, top-5) of the last epoch, or None where it had no validation."""

    # Training

    def on_fit_start(self) -> None:
        if self._teacher is not None:
            self._teacher.to(self.device)

    def on_train_epoch_start(self) -> None:
        self._train_sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        self.val_figures = None
        switch_epoch = self._recipe.model.gamma_switch * self._schedule.epochs
        is_late = self._phase == "stage2" and self._recipe.model.gamma_switch < 1 and self.current_epoch >= switch_epoch
        set_attention_phase(self.model, 2 if is_late else 1)
        start_epoch(self.model, self.current_epoch / max(self._schedule.epochs, 1))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, targets = batch
        images, soft_targets = self._mixer(images, targets, self._recipe.seed, self._phase, "mixup", self.global_step)
        teacher_logits = self._teacher.logits(images) if self._teacher is not None else None
        seed_torch(self._recipe.seed, self._phase, "step", self.global_step, self.global_rank)
        loss = training_loss(self.model(images), soft_targets, teacher_logits, self._distillation)
        if self._guidance is not None:
            loss = loss + self._distillation.distribution * self._guidance.loss()
        share = self._recipe.regularization.weight_oscillation
        if share > 0 and self._phase != "teacher":
            loss = (1 - share) * loss + share * weight_oscillation_loss(self.model)
        is_cheap_to_look = self.device.type == "cpu" or batch_idx % _FINITE_CHECK_STEPS == 0
        if is_cheap_to_look and not bool(torch.isfinite(loss)):
            self._diverged()
        self._train_sums += torch.stack([loss.detach() * len(images), loss.new_tensor(len(images))]).to(
            self._train_sums
        )
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.ema is not None:
            self.ema.update(self.model, step=self.global_step)

    def on_train_epoch_end(self) -> None:
        loss, count = self._over_processes(self._train_sums)
        self.train_loss = loss / count
        if not self.train_loss < float("inf"):
            self._diverged()

    def _diverged(self) -> None:
        raise TrainingError(
            f"the loss is not a finite number any more ({self._phase}, epoch {self.current_epoch + 1}): "
            f"lower {self._phase}.learning_rate, "
            f"set {self._phase}.clip_gradient=1, or use precision=32"
        )

    # Validation

    def on_validation_epoch_start(self) -> None:
        self._val_sums = torch.zeros(4, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, targets = batch
        dtype = next(self.model.parameters()).dtype
        logits: Tensor = self.model(normalize(images, self._preprocessing).to(dtype)).float()
        right = logits.topk(min(5, logits.shape[1]), dim=1).indices == targets[:, None]
        sums = torch.stack(
            [
                F.cross_entropy(logits, targets, reduction="sum"),
                (logits.argmax(dim=1) == targets).sum(),
                right.sum(),
                torch.tensor(len(targets), device=logits.device),
            ]
        )
        self._val_sums += sums.to(self._val_sums)

    def on_validation_epoch_end(self) -> None:
        loss, top1, top5, count = self._over_processes(self._val_sums)
        self.val_figures = (loss / count, top1 / count, top5 / count)

    def _over_processes(self, sums: Tensor) -> list[float]:
        reduced = self.trainer.strategy.reduce(sums, reduce_op="sum")
        assert isinstance(reduced, Tensor)
        return [float(value) for value in reduced]

    # Optimization

    def configure_optimizers(self) -> Any:
        exempt = no_weight_decay(self.model)
        parameters = [(name, value) for name, value in self.model.named_parameters() if value.requires_grad]
        groups = [
            {
                "params": [value for name, value in parameters if name not in exempt],
                "weight_decay": self._schedule.weight_decay,
            },
            {"params": [value for name, value in parameters if name in exempt], "weight_decay": 0.0},
        ]
        try:
            optimizer = create_optimizer_v2(
                [group for group in groups if group["params"]],
                opt=self._schedule.optimizer,
                lr=self._schedule.learning_rate,
                weight_decay=self._schedule.weight_decay,
                momentum=self._schedule.momentum,
                **self._fused_update(),
            )
        except (ValueError, AssertionError, TypeError) as error:
            raise RecipeError(
                f"{self._phase}.optimizer: timm has no usable optimizer '{self._schedule.optimizer}' ({error})"
            ) from None
        total = self._schedule.epochs * self._steps_per_epoch
        scheduler = CosineLRScheduler(
            optimizer,
            t_initial=max(total, 2),
            lr_min=self._schedule.min_learning_rate,
            warmup_t=round(self._schedule.warmup_epochs * self._steps_per_epoch),
            warmup_lr_init=self._schedule.learning_rate * 1e-3,
            t_in_epochs=False,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _fused_update(self) -> dict[str, Any]:
        """One pass over all weights for PyTorch's own optimizers; Lightning cannot clip for one in mixed precision."""
        is_torch = self._schedule.optimizer in ("adam", "adamw", "sgd")
        return {"fused": True} if is_torch and not self._recipe.precision.endswith("mixed") else {}

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        scheduler.step_update(self.global_step)

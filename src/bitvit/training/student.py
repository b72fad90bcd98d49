"""The binary student: how it is built, where its first weights come from, and how its stages begin."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from bitvit.checkpoints import (
    CheckpointInfo,
    ModelSpec,
    build_model,
    copy_all_but_heads,
    copy_backbone,
    copy_weights,
    is_binary,
    load_checkpoint,
    preprocessing_for,
)
from bitvit.layers import calibrate
from bitvit.models import set_stage
from bitvit.models.semantic_fpn import SegmentationNetwork
from bitvit.program import Preprocessing
from bitvit.training.evaluation import normalize
from bitvit.training.seeding import derive_seed, seed_torch

if TYPE_CHECKING:
    from bitvit.data import Data
    from bitvit.data.target_set import TargetSet
    from bitvit.training.recipe import Recipe

__all__ = ["Student"]


class Student:
    """The network that a run trains: built once, handed from stage to stage.

    Args:
        recipe: that of the run.
        data: for its classes and, in calibration, its training images.

    Raises:
        ModelError, CheckpointError: it cannot be built, or the checkpoint that it goes on from cannot be read.
    """

    def __init__(self, recipe: Recipe, data: Data) -> None:
        self._recipe = recipe
        self._images: TargetSet = data.train
        choice = recipe.model
        self._given: tuple[nn.Module, CheckpointInfo] | None = None
        if choice.weights is None:
            spec = ModelSpec(
                choice.name, len(data.labels), choice.image_size, choice.scheme, recipe.data.model_kwargs(choice.kwargs)
            )
        else:
            self._given = load_checkpoint(choice.weights)
            spec = replace(self._given[1].model, num_classes=len(data.labels))
            if self._given[1].task != recipe.task.name:  # it gives its backbone to a network of another kind
                spec = ModelSpec(choice.name, len(data.labels), choice.image_size, choice.scheme, dict(choice.kwargs))
        self.spec = spec
        """How the network is built."""
        self.model = self._initial_model()
        """With its first weights, and with those of the last finished stage later on."""
        self.preprocessing = preprocessing_for(
            self.model, recipe.data.crop_fraction, recipe.data.interpolation, data.train.decoding.value_range
        )
        """How its images are prepared."""
        if self._given is not None:
            known = self._given[1].preprocessing
            self.preprocessing = replace(self.preprocessing, mean=known.mean, std=known.std)

    def _initial_model(self) -> nn.Module:
        seed_torch(self._recipe.seed, "student", "weights")
        model = build_model(self.spec)
        if self._given is not None and isinstance(model, SegmentationNetwork):
            copy_backbone(self._given[0], model)
        elif self._given is not None:
            copy_all_but_heads(self._given[0], model)
        return model

    @property
    def is_binary(self) -> bool:
        """Whether the network has binary layers."""
        return is_binary(self.model)

    def take_teachers_weights(self, teacher: nn.Module) -> None:
        """Begin with the teacher's weights, if the recipe says so.

        Raises:
            ModelError: they do not fit.
        """
        if self._recipe.model.init == "teacher" and self._given is None:
            copy_weights(teacher, self.model)

    def begin_weights_stage(self) -> None:
        """Make weights binary, activations not (stage 1)."""
        set_stage(self.model, "weights")

    def begin_full_stage(self) -> None:
        """Make weights and activations binary, with initial scales from training images (stage 2)."""
        set_stage(self.model, "full")
        given = self._given
        is_calibrated = given is not None and given[1].stage == "full" and not self._recipe.stage1.epochs
        is_calibrated = is_calibrated and not isinstance(self.model, SegmentationNetwork)  # the decoder is new
        if not is_calibrated:
            calibrate(self.model, self.sample_images())

    def sample_images(self) -> Tensor:
        """Return the training images that scales are fitted to, normalized for the student: float32 `[B,C,H,W]`."""
        return _calibration_images(self._recipe, self._images, self.preprocessing)


def _calibration_images(recipe: Recipe, images: TargetSet, preprocessing: Preprocessing) -> Tensor:
    """Return some training images, without augmentation, normalized: float32 `[B,C,H,W]`."""
    rng = np.random.Generator(np.random.PCG64(derive_seed(recipe.seed, "calibration")))
    positions = rng.permutation(len(images))[: recipe.calibration.images]
    pixels = np.stack([images.pixels(int(position), preprocessing) for position in positions])
    return normalize(torch.from_numpy(pixels), preprocessing)

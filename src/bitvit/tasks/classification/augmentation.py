"""timm's augmentation, driven by a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from PIL import Image
from timm.data import Mixup, create_transform
from timm.data.auto_augment import posterize
from torch import Tensor

from bitvit.program import Preprocessing
from bitvit.tasks.settings import Augmentation

__all__ = ["BatchMixer", "training_transform"]


def training_transform(augmentation: Augmentation, preprocessing: Preprocessing) -> Callable[[Image.Image], Tensor]:
    """Return the random transform of one training image.

    An image of any size, in the network's channels -> normalized float32 `[C,H,W]`.

    Random resized crop, flips, colour (timm's policy takes the place of jitter), normalization, random erasing.
    """
    height, width = preprocessing.image_size
    transform = create_transform(
        (preprocessing.channels, height, width),
        is_training=True,
        scale=augmentation.scale,
        ratio=augmentation.ratio,
        hflip=augmentation.horizontal_flip,
        vflip=augmentation.vertical_flip,
        color_jitter=augmentation.color_jitter,
        auto_augment=augmentation.auto_augment,
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        std=preprocessing.std,
        re_prob=augmentation.random_erasing,
        re_mode="pixel",
    )
    for step in transform.transforms:
        _keep_a_bit(step)
    return cast("Callable[[Image.Image], Tensor]", transform)


def _keep_a_bit(policy: Any) -> None:
    """Let the operations of timm's policies that keep some bits of each value keep at least one.

    At their largest strength they keep none: a black image with older versions of Pillow, an exception with newer ones.
    """
    chances = getattr(policy, "policy", [getattr(policy, "ops", [])])  # AutoAugment chooses one of several lists
    for operation in (operation for operations in chances for operation in operations):
        if operation.aug_fn is posterize:
            operation.aug_fn = _posterize


def _posterize(image: Image.Image, bits: int, **options: Any) -> Image.Image:
    return cast("Image.Image", posterize(image, max(bits, 1), **options))  # type: ignore[no-untyped-call]


class BatchMixer:
    """Mixup and CutMix over a batch, with targets as probabilities.

    Image i of the batch is mixed with its mirror image in the order of the batch, B-1-i, by one random share a batch.
    The share depends on the random generators only, so processes that hold mirrored parts of one batch and seed alike
    mix exactly as a single process would.
    """

    def __init__(self, augmentation: Augmentation, n_classes: int) -> None:
        self._smoothing = augmentation.label_smoothing
        self._n_classes = n_classes
        self._mixup: Mixup | None = None
        if augmentation.mixup > 0 or augmentation.cutmix > 0:
            self._mixup = Mixup(  # type: ignore[no-untyped-call]
                mixup_alpha=augmentation.mixup,
                cutmix_alpha=augmentation.cutmix,
                prob=augmentation.mix_probability,
                switch_prob=augmentation.switch_probability,
                mode="batch",
                label_smoothing=augmentation.label_smoothing,
                num_classes=n_classes,
            )

    @property
    def mixes(self) -> bool:
        """Return whether images are mixed at all (which needs batches of even size)."""
        return self._mixup is not None

    def __call__(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return mixed images `[B,3,H,W]` and target probabilities `[B,classes]` of images and classes `[B]`."""
        if self._mixup is None:
            off = self._smoothing / self._n_classes
            soft = torch.full((len(targets), self._n_classes), off, device=targets.device)
            soft.scatter_(1, targets[:, None], 1.0 - self._smoothing + off)
            return images, soft
        mixed, soft = self._mixup(images.clone(), targets)
        return mixed, soft

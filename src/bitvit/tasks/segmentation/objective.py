"""What training a segmentation network minimizes, and how photos and masks change together."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transform

from bitvit.runtime.label_maps import IGNORED
from bitvit.tasks.distillation import distillation_loss
from bitvit.tasks.objective import Objective, ObjectivePlan
from bitvit.tasks.segmentation.cutmix import cutmix
from bitvit.tasks.segmentation.settings import SegmentationSettings, check_augmentation

__all__ = ["SegmentationObjective", "dice_loss", "pixel_loss"]


class SegmentationObjective(Objective):
    """``(1 - w) (CE + d Dice) + w L_teacher``: cross entropy and Dice with the masks, distillation pixel by pixel."""

    def __init__(self, plan: ObjectivePlan) -> None:
        assert isinstance(plan.settings, SegmentationSettings)
        check_augmentation(plan.augmentation)
        self._augmentation = plan.augmentation
        self._preprocessing = plan.preprocessing
        self._settings = plan.settings
        self._distillation = plan.distillation
        self._class_weights = None if plan.class_weights is None else torch.from_numpy(plan.class_weights)
        jitter = plan.augmentation.color_jitter
        self._color = v2.ColorJitter(jitter, jitter, jitter) if jitter else None
        fill = {tv_tensors.Image: [round(255 * m) for m in plan.preprocessing.mean], tv_tensors.Mask: IGNORED}
        zoom = plan.settings.zoom_out
        self._zoom_out = v2.RandomZoomOut(fill, side_range=(1.0, zoom)) if zoom > 1 else None

    def augment(self, image: Image.Image, target: Any) -> tuple[Tensor, Tensor]:
        """Zoom out, crop, flip and recolour a photo, and its mask alike.

        The crop is resized to the network's size; its aspect is that of the photo times a factor of
        ``augmentation.ratio``, because evaluation resizes the whole photo to that size.

        Returns:
            The normalized photo, float32 `[3,H,W]`, and its mask, int64 `[H,W]`.
        """
        choice = self._augmentation
        pair: Any = (tv_tensors.Image(transform.pil_to_tensor(image)), tv_tensors.Mask(torch.from_numpy(target)[None]))
        aspect = image.width / image.height
        crop = v2.RandomResizedCrop(
            self._preprocessing.image_size,
            scale=choice.scale,
            ratio=(choice.ratio[0] * aspect, choice.ratio[1] * aspect),
            antialias=True,
        )
        changes = [
            self._zoom_out,
            crop,
            v2.RandomHorizontalFlip(choice.horizontal_flip) if choice.horizontal_flip else None,
            v2.RandomVerticalFlip(choice.vertical_flip) if choice.vertical_flip else None,
            self._color,
        ]
        for change in changes:
            if change is not None:
                pair = change(*pair)
        photo, mask = pair
        mean, std = (torch.tensor(part).view(-1, 1, 1) for part in (self._preprocessing.mean, self._preprocessing.std))
        return (photo.as_subclass(Tensor).float() / 255.0 - mean) / std, mask.as_subclass(Tensor)[0].long()

    def mix(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Apply CutMix, if the recipe says so, to the share ``augmentation.mix_probability`` of the photos."""
        choice = self._augmentation
        if choice.cutmix <= 0:
            return images, targets
        return cutmix(images, targets, choice.cutmix, choice.mix_probability)

    def loss(self, output: Any, targets: Tensor, teacher_output: Tensor | None) -> Tensor:
        """Return the mean loss of a batch of scores `[B,classes,H,W]` and masks `[B,H,W]`."""
        if self._class_weights is not None:
            self._class_weights = self._class_weights.to(output)
        smoothing = self._augmentation.label_smoothing
        own = pixel_loss(output, targets, self._class_weights, smoothing)
        if self._settings.dice > 0:
            own = own + self._settings.dice * dice_loss(output, targets)
        choice = self._distillation
        if teacher_output is None or choice.kind == "none":
            return own
        taught = distillation_loss(output, teacher_output, choice.kind, choice.temperature_at(self.progress))
        return (1 - choice.weight) * own + choice.weight * taught


def pixel_loss(scores: Tensor, masks: Tensor, weights: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy of the pixels that are not ignored, 0 where all are.

    Args:
        scores: `[B,classes,H,W]`.
        masks: int64 `[B,H,W]`.
        weights: factor of each class; the mean is weighted then.
        smoothing: share of each target that is spread over all classes.
    """
    if bool((masks == IGNORED).all()):
        return scores.sum() * 0.0
    return F.cross_entropy(scores, masks, weight=weights, ignore_index=IGNORED, label_smoothing=smoothing)


def dice_loss(scores: Tensor, masks: Tensor) -> Tensor:
    """Soft Dice loss: the mean over the batch's classes of ``1 - (2 sum p t + 1) / (sum p + sum t + 1)``.

    p are the probabilities of a class, t is 1 where the mask says it, and sums run over all pixels of the batch that
    are not ignored. Source: V-Net (Milletari et al., 2016), Eq. 2, without squares, smoothed by 1.

    Args:
        scores: `[B,classes,H,W]`.
        masks: int64 `[B,H,W]`.
    """
    axes = (0, 2, 3)
    classes = torch.arange(scores.shape[1], device=masks.device).view(-1, 1, 1)
    truth = masks[:, None] == classes  # IGNORED is no class
    shares = scores.float().softmax(dim=1)
    pixels = truth.sum(axes)
    overlap = shares.where(truth, 0.0).sum(axes)
    sizes = shares.where((masks != IGNORED)[:, None], 0.0).sum(axes) + pixels
    losses = 1 - (2 * overlap + 1) / (sizes + 1)
    present = pixels > 0
    return losses[present].mean() if bool(present.any()) else scores.sum() * 0.0

"""What only segmentation reads in a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from bitvit.errors import UsageError
from bitvit.tasks.settings import Augmentation, TaskSettings

__all__ = ["SegmentationSettings", "check_augmentation"]

_UNUSED = ("auto_augment", "random_erasing", "mixup")


@dataclass(frozen=True)
class SegmentationSettings(TaskSettings):
    """The section `task` of a recipe for segmentation."""

    name: str = "segmentation"
    dice: float = 0.0
    """Factor of the Dice loss beside the cross entropy; 0 leaves it out."""
    zoom_out: float = 1.0
    """Largest factor by which the frame is enlarged around the photo before a crop is taken; the rim is ignored."""

    def __post_init__(self) -> None:
        if not self.dice >= 0:
            raise UsageError(f"task.dice: is {self.dice:g}, but must not be negative")
        if not 1 <= self.zoom_out <= 8:
            raise UsageError(f"task.zoom_out: is {self.zoom_out:g}, but must be from 1 to 8")


def check_augmentation(augmentation: Augmentation) -> None:
    """Refuse random changes that segmentation does not know.

    Raises:
        UsageError: the message names the key.
    """
    for key in _UNUSED:
        if getattr(augmentation, key):
            raise UsageError(
                f"augmentation.{key}: is for classification; segmentation crops, flips, changes colours and has cutmix"
            )

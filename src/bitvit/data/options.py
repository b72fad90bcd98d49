"""How a data set is read and divided."""

from __future__ import annotations

from dataclasses import dataclass

from bitvit.data.class_order import ClassOrder
from bitvit.data.folder_layout import Layout
from bitvit.runtime.preprocessing import Decoding

__all__ = ["DataOptions"]


@dataclass(frozen=True)
class DataOptions:
    """How a data set is read and divided; the same values give the same images in the same parts.

    Attributes:
        val_fraction: Share of each class that validates, where the data set has no split of its own.
        split_seed: Seed of that split and of the folds; apart from `seed`, so that runs with several seeds are judged
            alike.
        samples_per_class: Train on this many images of each class.
        label_noise: Share of training images that get a wrong class (validation images keep theirs).
        folds: Cross-validate on the training images: one of so many folds takes the place of validation.
        fold: Its number, from 0.
        seed: Seed of the choice of samples and of the label noise.
        layout: Of a folder of images, see `load_image_folder`.
        class_order: Likewise.
        decoding: How its files become pixels; by default RGB.
        task: `classification` or `segmentation`; by default what the folder is for (see `is_segmentation`).
    """

    val_fraction: float = 0.2
    split_seed: int = 0
    samples_per_class: int | None = None
    label_noise: float = 0.0
    folds: int | None = None
    fold: int | None = None
    seed: int = 0
    layout: Layout = "auto"
    class_order: ClassOrder = "natural"
    decoding: Decoding | None = None
    task: str | None = None

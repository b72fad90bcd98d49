"""Seeded selections from a labelled set: splits, folds, fewer samples, noisy labels.

Every selection is drawn from its own stream, named by purpose, so that changing one setting leaves the others as they
were.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from bitvit.data.errors import DataError
from bitvit.data.image_set import ImageSet

__all__ = ["add_label_noise", "fold_split", "limit_samples_per_class", "random_stream", "stratified_split"]


def random_stream(seed: int, purpose: str) -> np.random.Generator:
    """Return the random numbers for one purpose under one seed."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(purpose.encode())]))


def _positions_by_class(
    targets: npt.NDArray[np.int64], n_classes: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Return each class's positions, shuffled."""
    return [rng.permutation(np.flatnonzero(targets == label)) for label in range(n_classes)]


def stratified_split(images: ImageSet, val_fraction: float, seed: int) -> tuple[ImageSet, ImageSet]:
    """Split into training and validation images with the same share of every class in both.

    A class of n images gives round(n * val_fraction) to validation, at least one and never all of them (a single image
    goes to training).
    """
    rng = random_stream(seed, "split")
    train: list[npt.NDArray[np.int64]] = []
    val: list[npt.NDArray[np.int64]] = []
    for positions in _positions_by_class(images.targets, len(images.labels), rng):
        n_val = min(max(round(len(positions) * val_fraction), 1), max(len(positions) - 1, 0))
        val.append(positions[:n_val])
        train.append(positions[n_val:])
    return images.subset(np.sort(np.concatenate(train))), images.subset(np.sort(np.concatenate(val)))


def fold_split(images: ImageSet, folds: int, fold: int, seed: int) -> tuple[ImageSet, ImageSet]:
    """Return training and validation images of cross-validation.

    Fold `fold` (0-based) of `folds` validates, the rest trains. Each class is spread evenly over the folds.
    Every image validates in exactly one fold.

    Raises:
        DataError: if there are fewer than two folds, no such fold, or a class with fewer images than folds.
    """
    if folds < 2:
        raise DataError(f"cross-validation needs at least 2 folds, not {folds}")
    if not 0 <= fold < folds:
        raise DataError(f"fold {fold} does not exist: with {folds} folds they are 0 to {folds - 1}")
    rng = random_stream(seed, "folds")
    fold_of = np.empty(len(images), dtype=np.int64)
    offset = 0
    for label, positions in enumerate(_positions_by_class(images.targets, len(images.labels), rng)):
        if len(positions) == 1:
            raise DataError(f"class '{images.labels[label]}' has a single image: cross-validation needs two or more")
        if len(positions) < folds:
            raise DataError(
                f"class '{images.labels[label]}' has {len(positions)} images, too few for {folds} folds: use "
                f"--folds {len(positions)} or fewer"
            )
        fold_of[positions] = (np.arange(len(positions)) + offset) % folds
        offset += len(positions)
    return images.subset(np.flatnonzero(fold_of != fold)), images.subset(np.flatnonzero(fold_of == fold))


def limit_samples_per_class(images: ImageSet, samples: int, seed: int) -> ImageSet:
    """Keep `samples` images of every class, chosen by the seed.

    A smaller number keeps a subset of those of a larger one.

    Raises:
        DataError: if a class has fewer.
    """
    if samples < 1:
        raise DataError(f"samples per class must be at least 1, not {samples}")
    chosen = []
    for label, positions in enumerate(
        _positions_by_class(images.targets, len(images.labels), random_stream(seed, "samples"))
    ):
        if len(positions) < samples:
            raise DataError(
                f"class '{images.labels[label]}' has {len(positions)} training images, fewer than the "
                f"{samples} samples per class asked for"
            )
        chosen.append(positions[:samples])
    return images.subset(np.sort(np.concatenate(chosen)))


def add_label_noise(images: ImageSet, fraction: float, seed: int) -> ImageSet:
    """Give round(fraction * N) images a wrong class, drawn evenly from all other classes (symmetric noise).

    A higher fraction keeps the wrong labels of a lower one.

    Raises:
        DataError: if the fraction is outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise DataError(f"label noise is a fraction from 0 to 1, not {fraction:g}")
    n_classes = len(images.labels)
    rng = random_stream(seed, "label noise")
    order = rng.permutation(len(images))
    shifts = rng.integers(1, n_classes, size=len(images))
    wrong = order[: round(fraction * len(images))]
    targets = images.targets.copy()
    targets[wrong] = (targets[wrong] + shifts[wrong]) % n_classes
    return images.with_targets(targets)

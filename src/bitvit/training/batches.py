"""PyTorch's view of image sets, and the order in which training goes through them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from bitvit.data.target_set import TargetSet
from bitvit.program import Preprocessing
from bitvit.tasks.objective import Objective
from bitvit.training.errors import RecipeError
from bitvit.training.image_cache import ImageCache
from bitvit.training.seeding import derive_seed, isolated_randomness, seed_global_generators

__all__ = [
    "EpochBatches",
    "EvaluationImages",
    "TrainingImages",
    "balanced_order",
    "evaluation_loader",
    "steps_per_epoch",
    "training_loader",
]

_CACHE_BYTES = 1 << 27


class TrainingImages(Dataset[tuple[Tensor, Any]]):
    """Augmented images and their targets, asked for by `(epoch, position)`.

    Positions go on behind the last image: position i of n images is image i mod n, once more. The augmentation of an
    image is drawn from (seed, phase, epoch, position), whichever process draws it.
    """

    def __init__(self, images: TargetSet | ImageCache, objective: Objective, seed: int, phase: str) -> None:
        self._images = images
        self._objective = objective
        self._seed = seed
        self._phase = phase

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Any]:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[tuple[Tensor, Any]]:
        """Return the images of a batch; generators are restored once per batch, which takes long for small images."""
        with isolated_randomness(self._seed, self._phase, "augmentation"):
            return [self._augmented(epoch, position) for epoch, position in keys]

    def _augmented(self, epoch: int, position: int) -> tuple[Tensor, Any]:
        seed_global_generators(self._seed, self._phase, "augmentation", epoch, position)
        index = position % len(self._images)
        return self._objective.augment(self._images.image(index), self._images.target(index))


class EvaluationImages(Dataset[tuple[Tensor, Any]]):
    """Images exactly as prediction sees them, uint8 `[H,W,C]`, and their targets.

    Small sets are decoded once and kept.
    """

    def __init__(self, images: TargetSet, preprocessing: Preprocessing) -> None:
        self._images = images
        self._preprocessing = preprocessing
        height, width = preprocessing.image_size
        self._cache: list[Tensor] | None = None
        if len(images) * height * width * preprocessing.channels <= _CACHE_BYTES:
            self._cache = [self._decode(position) for position in range(len(images))]

    def _decode(self, position: int) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self._images.pixels(position, self._preprocessing)))

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, position: int) -> tuple[Tensor, Any]:
        image = self._cache[position] if self._cache is not None else self._decode(position)
        return image, self._images.target(position)


def _passes(n_images: int, batch_size: int, least_steps: int) -> int:
    return max(1, math.ceil(least_steps * batch_size / n_images)) if n_images else 1


def steps_per_epoch(n_images: int, batch_size: int, least_steps: int = 0) -> int:
    """Return the number of batches of an epoch, which takes few images several times to have at least `least_steps`."""
    return n_images * _passes(n_images, batch_size, least_steps) // batch_size


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of `(epoch, position)` in a new seeded order each epoch; the incomplete last batch is left out.

    With several processes each takes its part of every batch: positions i of the first half with i mod processes =
    rank, and their mirrors B-1-i. So the union over the processes is the batch of a single process, and mirrored pairs,
    which mixup mixes, stay together.

    Args:
        n_images: number of images, of all processes together.
        batch_size: images of a batch, of all processes together.
        epoch: gives the number of the epoch whenever an order is drawn. A function, because loaders with workers draw
            ahead of time.
        classes: class of each image, to draw images of all classes equally often; None takes each image once.
        least_steps: an epoch takes few images several times, each time augmented anew, to have so many batches.
        repeats: repeated augmentation: an epoch has as many batches, of so many copies of each of fewer images, one
            after the other and each augmented anew. Source: Hoffer et al., "Augment your batch", CVPR 2020; DeiT has 3.

    Raises:
        RecipeError: if the batch does not fit the images or the processes.
    """

    def __init__(
        self,
        n_images: int,
        batch_size: int,
        seed: int,
        phase: str,
        epoch: Callable[[], int],
        *,
        rank: int = 0,
        world_size: int = 1,
        classes: npt.NDArray[np.int64] | None = None,
        least_steps: int = 0,
        repeats: int = 1,
    ) -> None:
        if batch_size > n_images and not least_steps:
            raise RecipeError(
                f"batch_size: {batch_size} is more than the {n_images} training images; "
                f"set batch_size={n_images // 2 * 2 or 1}"
            )
        if world_size > 1 and batch_size % (2 * world_size):
            raise RecipeError(
                f"batch_size: {batch_size} must be a multiple of {2 * world_size} to be shared by {world_size} devices"
            )
        self._n_images = n_images
        self._batch_size = batch_size
        self._seed = seed
        self._phase = phase
        self._epoch = epoch
        self._classes = classes
        self._passes = _passes(n_images, batch_size, least_steps)
        self._repeats = repeats
        self._columns = self._own_columns(batch_size, rank, world_size)

    @staticmethod
    def _own_columns(batch_size: int, rank: int, world_size: int) -> npt.NDArray[np.int64]:
        if world_size == 1:
            return np.arange(batch_size)
        first = np.arange(rank, batch_size // 2, world_size)
        return np.concatenate([first, batch_size - 1 - first[::-1]])

    def __len__(self) -> int:
        return self._n_images * self._passes // self._batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        # Not a generator: the epoch must be read now, not when a worker first asks.
        epoch = self._epoch()
        rng = np.random.Generator(np.random.PCG64(derive_seed(self._seed, self._phase, "order", epoch)))
        n, classes = self._n_images, self._classes
        orders = [rng.permutation(n) if classes is None else balanced_order(classes, rng) for _ in range(self._passes)]
        whole = np.concatenate(orders)
        whole = np.repeat(whole[: -(-len(whole) // self._repeats)], self._repeats)[: len(whole)]
        whole = whole + n * _copy_numbers(whole)
        order = whole[: len(self) * self._batch_size].reshape(len(self), self._batch_size)
        return iter([[(epoch, int(position)) for position in batch[self._columns]] for batch in order])


def _copy_numbers(positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how often each position has come before."""
    order = np.argsort(positions, kind="stable")
    ranked = positions[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    numbers = np.empty_like(positions)
    numbers[order] = np.arange(len(positions)) - np.repeat(starts, np.diff(np.r_[starts, len(positions)]))
    return numbers


def balanced_order(classes: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return as many positions as there are images, of every class equally often (to one).

    The images of a rare class come several times, each as often as the others of its class (to one); those of a
    frequent class in part, others in each epoch.
    """
    present = np.unique(classes)
    shares = np.full(len(present), len(classes) // len(present))
    shares[rng.permutation(len(present))[: len(classes) % len(present)]] += 1
    chosen = []
    for label, share in zip(present, shares, strict=True):
        own = np.flatnonzero(classes == label)
        rounds = [rng.permutation(own) for _ in range(-(-int(share) // len(own)))]
        chosen.append(np.concatenate(rounds)[:share])
    return rng.permutation(np.concatenate(chosen))


def training_loader(
    dataset: TrainingImages, batches: EpochBatches, workers: int, pin_memory: bool = False
) -> DataLoader[Any]:
    """Return the loader of training batches: normalized float images `[B,C,H,W]`, targets."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
        generator=torch.Generator().manual_seed(0),  # else the loader would draw its workers' seeds from the global one
    )


def evaluation_loader(
    dataset: EvaluationImages, batch_size: int, workers: int, positions: Sequence[int]
) -> DataLoader[Any]:
    """Return the loader of evaluation batches at `positions`, in order: uint8 images `[B,H,W,3]`, list of targets."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=list(positions),
        collate_fn=_collate,
        num_workers=workers,
        generator=torch.Generator().manual_seed(0),
    )


def _collate(samples: list[tuple[Tensor, Any]]) -> tuple[Tensor, list[Any]]:
    """Stack the images; targets stay a list, as each may have its own shape."""
    images, targets = zip(*samples, strict=True)
    return torch.stack(images), list(targets)

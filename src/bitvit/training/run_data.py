"""The images of a run: those of the student, and those of a teacher that sees more of them."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bitvit.data import Data, DataError, DataOptions, build_data, build_pool, check_data, check_images
from bitvit.data.image_set import ArraySource, FileSource, ImageSet, ImageSource
from bitvit.data.splits import add_label_noise, limit_samples_per_class
from bitvit.data.target_set import absent_classes
from bitvit.runtime.ahead import map_ahead
from bitvit.runtime.decoding import Decoding
from bitvit.runtime.pixel_depth import range_of_bits
from bitvit.training.recipe import Recipe

__all__ = ["data_of", "teacher_data_of"]

_AHEAD = 64


def data_of(recipe: Recipe) -> Data:
    """Return the data set that a recipe asks for, every image of it checked.

    Raises:
        DataError: if it is missing or damaged.
    """
    choice = recipe.data
    return check_data(build_data(choice.name, choice.folder, _options(recipe)), choice.on_error)


def _options(recipe: Recipe) -> DataOptions:
    choice = recipe.data
    decoding = Decoding(
        channels=choice.channels,
        value_range=None if choice.bit_depth is None else range_of_bits(choice.bit_depth),
        max_pixels=choice.max_pixels,
    )
    return DataOptions(
        val_fraction=choice.val_fraction,
        split_seed=choice.split_seed,
        samples_per_class=choice.samples_per_class,
        label_noise=choice.label_noise,
        folds=choice.folds,
        fold=choice.fold,
        seed=recipe.seed,
        layout=choice.layout,
        class_order=choice.class_order,
        decoding=decoding,
        task=recipe.task.name,
    )


def teacher_data_of(recipe: Recipe, data: Data) -> Data:
    """Return what the teacher is trained on and judged by: `data`, with the training images of `teacher.data`.

    None of them is a validation image of `data`. Those that are training images of `data` as well have its labels.

    Args:
        recipe: of the run.
        data: the student's.

    Raises:
        DataError: the images are missing or damaged, too few, or have other classes.
    """
    choice = recipe.teacher.data
    if choice is None:
        return data
    try:
        pool, notes = _pool(recipe, data)
        if choice.samples_per_class is not None:
            pool = limit_samples_per_class(pool, choice.samples_per_class, recipe.seed)
        empty = absent_classes(pool)
        if empty:
            raise DataError(f"there are no images of class {empty[0]} beside those that validate")
    except DataError as error:
        raise DataError(f"teacher.data: {error}") from None
    targets = add_label_noise(pool, choice.label_noise, recipe.seed).targets if choice.label_noise else pool.targets
    places = _places(_keys(pool, data.train), _keys(data.train, pool))
    targets = np.where(places >= 0, data.train.targets[np.maximum(places, 0)], targets)
    return replace(data, train=pool.with_targets(targets), notes=tuple(notes))


def _pool(recipe: Recipe, data: Data) -> tuple[ImageSet, list[str]]:
    """Return all images that the teacher may see, and notes on those that cannot be read."""
    choice, own = recipe.teacher.data, recipe.data
    assert choice is not None
    options = replace(_options(recipe), samples_per_class=None, label_noise=0.0)
    is_own_split = False
    if choice.name is None and choice.folder is None:
        whole = build_data(own.name, own.folder, options)
        pool = whole.train
        is_own_split = _is_same(pool.source, data.train.source) and _is_same(whole.val.source, data.val.source)
    else:
        pool = build_pool(choice.name or "folder", choice.folder, options, data.labels)
    if pool.labels != data.labels:
        raise DataError("its classes are not those of the student's images")
    pool, notes = check_images(pool.decoded(data.train.decoding), own.on_error)
    if not is_own_split or _is_same(pool.source, data.val.source):
        kept = np.flatnonzero(_places(_keys(pool, data.val), _keys(data.val, pool)) < 0)
        if len(kept) < len(pool):
            notes.append(f"{len(pool) - len(kept)} images that validate the student are left out of the teacher's")
        pool = pool.subset(kept)
    return pool, notes


def _is_same(one: ImageSource, other: ImageSource) -> bool:
    """Return whether two sources surely have the same images under the same numbers."""
    if isinstance(one, ArraySource) and isinstance(other, ArraySource):
        return one.images is other.images or (one.name == other.name and np.array_equal(one.images, other.images))
    if isinstance(one, FileSource) and isinstance(other, FileSource):
        return one.paths == other.paths
    return one is other


def _keys(images: ImageSet, other: ImageSet) -> list[Hashable]:
    """Return what identifies each image in a comparison with another set: its number in their source, or its pixels."""
    if _is_same(images.source, other.source):
        return [int(index) for index in images.indices]

    def digest(position: int) -> bytes:
        image = images.image(position)
        return hashlib.blake2b(f"{image.mode} {image.size} ".encode() + image.tobytes(), digest_size=16).digest()

    return list(map_ahead(digest, range(len(images)), ahead=_AHEAD))


def _places(keys: Sequence[Hashable], known: Sequence[Hashable]) -> npt.NDArray[np.int64]:
    """Return the position of each key among those known, -1 where it is not there."""
    position_of = {key: position for position, key in enumerate(known)}
    return np.array([position_of.get(key, -1) for key in keys], dtype=np.int64)

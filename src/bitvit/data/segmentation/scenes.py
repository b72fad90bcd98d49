"""Scenes composed of small pictures on textured backgrounds: photos with masks for demos and tests, from a seed."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bitvit.data.digits import load_digits
from bitvit.data.errors import DataError
from bitvit.data.idx import load_fashion_mnist
from bitvit.data.image_set import ArraySource, ImageSet
from bitvit.data.segmentation.segmentation_set import SegmentationSet
from bitvit.data.splits import random_stream
from bitvit.errors import OutputError
from bitvit.runtime.label_maps import default_colors, indexed_image

__all__ = ["Scenes", "compose_scenes", "is_scenes", "load_scenes", "write_scenes"]

_NAME = re.compile(r"scenes/(?P<source>digits|fashion-mnist)(/(?P<train>[1-9]\d{0,4}))?")
_TRAIN = 400
_BACKGROUND = "background"
_OBJECT_SIZES = (0.41, 0.59)  # sides relative to that of the scene
_OBJECTS = (2, 3)
_MAX_SHARE_OUTSIDE = 0.15
_PLACES = 3  # that are tried for an object
_THRESHOLD = 40  # of an object's grey values; the fainter rim belongs to the background
_OBJECT_COLORS = (110, 255)  # objects are mostly brighter than the ground, whatever the hue of both
_BACKGROUND_COLORS = (10, 120)
_NOISE = 8.0


@dataclass(frozen=True)
class Scenes:
    """Photos uint8 `[N,S,S,3]`, masks uint8 `[N,S,S]` (0 is the background) and the names of the classes."""

    photos: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.uint8]
    labels: tuple[str, ...]


def _objects(source: str) -> tuple[ImageSet, ImageSet]:
    """Grey pictures to compose training and validation scenes of; no picture is in both."""
    if source == "fashion-mnist":
        return load_fashion_mnist(None)
    if source != "digits":
        raise DataError(f"scenes are composed of 'fashion-mnist' or 'digits', not '{source}'")
    digits = load_digits()
    order = random_stream(0, "scenes").permutation(len(digits))
    return digits.subset(np.sort(order[:1400])), digits.subset(np.sort(order[1400:]))


def compose_scenes(source: str, train: int, val: int, size: int = 64, seed: int = 0) -> tuple[Scenes, Scenes]:
    """Return training and validation scenes of 11 classes: the background and the ten of `source`.

    Each scene has two or three objects in colours of their own, which may overlap and reach over the edge, on a darker
    background of two colours mixed by waves and smooth noise; pixel noise lies over all. An object's side is 41 to
    59 % of the scene's.

    Args:
        source: `fashion-mnist` (Debian's package dataset-fashion-mnist) or `digits` (bundled with scikit-learn).
        train: number of training scenes.
        val: number of validation scenes; their objects occur in no training scene.
        size: side of a scene in pixels.
        seed: all that is random follows from it.

    Raises:
        DataError: the source is unknown or not installed.
    """
    parts = []
    for part, objects, count in zip(("train", "val"), _objects(source), (train, val), strict=True):
        rng = random_stream(seed, f"scenes {part}")
        assert isinstance(objects.source, ArraySource)
        pictures = objects.source.images[objects.indices]
        photos = np.empty((count, size, size, 3), np.uint8)
        masks = np.empty((count, size, size), np.uint8)
        for i in range(count):
            photos[i], masks[i] = _scene(rng, pictures, objects.targets, size)
        parts.append(Scenes(photos, masks, (_BACKGROUND, *objects.labels)))
    return parts[0], parts[1]


def _scene(
    rng: np.random.Generator, pictures: npt.NDArray[np.uint8], targets: npt.NDArray[np.int64], size: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    photo = _background(rng, size)
    mask = np.zeros((size, size), np.uint8)
    for _ in range(int(rng.integers(_OBJECTS[0], _OBJECTS[1] + 1))):
        number = int(rng.integers(len(pictures)))
        side = round(size * rng.uniform(*_OBJECT_SIZES))
        grey = np.asarray(Image.fromarray(pictures[number]).resize((side, side), Image.Resampling.BILINEAR))
        top, left = _place(rng, mask, side)
        rows = slice(max(top, 0), min(top + side, size))
        columns = slice(max(left, 0), min(left + side, size))
        part = grey[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
        color = rng.uniform(*_OBJECT_COLORS, size=3)
        opacity = np.clip(part[..., None] / 128.0, 0, 1)
        shaded = color * (0.45 + 0.55 * part[..., None] / 255.0)
        photo[rows, columns] = opacity * shaded + (1 - opacity) * photo[rows, columns]
        mask[rows, columns][part > _THRESHOLD] = int(targets[number]) + 1
    photo += rng.normal(0, _NOISE, photo.shape)
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8), mask


def _place(rng: np.random.Generator, mask: npt.NDArray[np.uint8], side: int) -> tuple[int, int]:
    """Return the top left corner of a new object: of a few random ones that which hides least of the others."""
    reach = int(_MAX_SHARE_OUTSIDE * side)
    corners = rng.integers(-reach, len(mask) - side + reach + 1, size=(_PLACES, 2))
    hidden = [np.count_nonzero(mask[max(top, 0) : top + side, max(left, 0) : left + side]) for top, left in corners]
    top, left = corners[int(np.argmin(hidden))]
    return int(top), int(left)


def _background(rng: np.random.Generator, size: int) -> npt.NDArray[np.float64]:
    """Two dark to middle colours, mixed by a wave of random direction and by smooth noise."""
    first, second = rng.uniform(*_BACKGROUND_COLORS, size=(2, 3))
    y, x = np.mgrid[0:size, 0:size] / size
    angle, frequency, phase = rng.uniform(0, np.pi), rng.uniform(1, 8), rng.uniform(0, 2 * np.pi)
    wave = np.sin(2 * np.pi * frequency * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    coarse = Image.fromarray(rng.normal(0, 1, (6, 6)).astype(np.float32))
    smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    share = np.clip(0.5 + 0.25 * wave + 0.3 * smooth, 0, 1)[..., None]
    mixed: npt.NDArray[np.float64] = share * first + (1 - share) * second
    return mixed


def is_scenes(name: str) -> bool:
    """Return whether `load_scenes` knows a data set's name."""
    return _NAME.fullmatch(name) is not None


def load_scenes(name: str) -> tuple[SegmentationSet, SegmentationSet]:
    """Return training and validation pairs of generated scenes of 64 px; nothing is written.

    Args:
        name: ``scenes/digits`` or ``scenes/fashion-mnist``: 400 scenes, and a quarter as many for validation;
            ``scenes/digits/1000`` are another number.

    Raises:
        DataError: as `compose_scenes`, or no such name.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise DataError(f"{name}: generated scenes are called scenes/digits or scenes/fashion-mnist/NUMBER")
    train = int(match["train"] or _TRAIN)
    photos: dict[Path, Image.Image] = {}
    masks: dict[Path, npt.NDArray[np.uint8]] = {}
    parts = []
    for part, scenes in zip(("train", "val"), compose_scenes(match["source"], train, max(train // 4, 1)), strict=True):
        names = tuple(Path(name, part, f"{i:04d}.png") for i in range(len(scenes.photos)))
        photos.update(zip(names, map(Image.fromarray, scenes.photos), strict=True))
        masks.update(zip(names, scenes.masks, strict=True))
        digest = hashlib.sha256(scenes.photos.tobytes() + scenes.masks.tobytes()).hexdigest()
        colors = default_colors(len(scenes.labels))
        pairs = SegmentationSet(names, names, scenes.labels, colors, masks.__getitem__)
        parts.append(replace(pairs, find=photos.__getitem__, generated=digest))
    return parts[0], parts[1]


def write_scenes(folder: Path, source: str, train: int, val: int, size: int = 64, seed: int = 0) -> None:
    """Write scenes as a folder that `bitvit train --data` takes: `images/`, `masks/` (indexed PNG), `classes.csv`.

    Raises:
        DataError: as `compose_scenes`.
        OutputError: the folder cannot be written.
    """
    for part, scenes in zip(("train", "val"), compose_scenes(source, train, val, size, seed), strict=True):
        colors = default_colors(len(scenes.labels))
        try:
            for kind in ("images", "masks"):
                (folder / kind / part).mkdir(parents=True, exist_ok=True)
            for i, (photo, mask) in enumerate(zip(scenes.photos, scenes.masks, strict=True)):
                Image.fromarray(photo).save(folder / "images" / part / f"{i:04d}.png")
                indexed_image(mask, colors).save(folder / "masks" / part / f"{i:04d}.png")
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(["name", "red", "green", "blue"])
            writer.writerows([label, *color] for label, color in zip(scenes.labels, colors, strict=True))
            (folder / "classes.csv").write_text(text.getvalue(), "utf-8")
        except OSError as error:
            raise OutputError(f"cannot write to {folder}: {error.strerror}") from None

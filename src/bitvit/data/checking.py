"""All images looked at before a long run begins: what cannot be read is known at once, and all of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image

from bitvit.data.copies import notes_on_copies
from bitvit.data.errors import DataError
from bitvit.data.image_set import ArraySource, Data, ImageSet
from bitvit.data.target_set import TargetSet, absent_classes
from bitvit.errors import ImageError
from bitvit.runtime.ahead import map_ahead
from bitvit.runtime.decoding import Decoded, decode
from bitvit.runtime.pixel_depth import fitting_range
from bitvit.text import listed, printable

__all__ = ["OnError", "check_data", "check_images"]

OnError: TypeAlias = Literal["stop", "skip"]

_SHOWN = 20
_AHEAD = 64


@dataclass(frozen=True)
class _Finding:
    """Findings on one image: why it cannot be read, or its values if it is deeper than 8 bits."""

    error: str | None = None
    extremes: tuple[float, float, bool] | None = None


def check_data(data: Data, on_error: OnError = "stop", progress: Callable[[int, int], None] | None = None) -> Data:
    """Return a data set of which every image can be read, with one range of values for images deeper than 8 bits.

    Files that lie there twice are noted. A set of photos and masks was checked for the rest when it was loaded.

    Args:
        data: what `build_data` returned.
        on_error: "stop": refuse a data set with bad images, naming them all. "skip": leave them out, with a note.
        progress: called with the number of images checked so far, and of all.

    Raises:
        DataError: images cannot be read, and `on_error` is "stop", or a class has no others.
    """
    if _was_checked(data.train):
        return replace(data, notes=(*data.notes, *notes_on_copies(data)))
    total = len(data.train) + len(data.val)
    train_bad, train_values = _look(data.train, lambda done: progress(done, total) if progress else None)
    val_bad, val_values = _look(data.val, lambda done: progress(len(data.train) + done, total) if progress else None)
    notes = list(data.notes)
    bad = sorted([*train_bad.values(), *val_bad.values()])
    if bad:
        notes.append(_say(bad, total, on_error))
        data = replace(data, train=_without(data.train, train_bad), val=_without(data.val, val_bad))
        _demand_classes(data.train, bad)
        if not len(data.val):
            raise DataError(f"none of the {len(val_bad)} validation images can be read: {bad[0]}")
        unjudged = absent_classes(data.val)
        if unjudged:
            notes.append(f"no validation images are left of {listed(unjudged, _SHOWN)}")
    if data.train.decoding.value_range is None and train_values:
        data, note = _with_range(data, [*train_values, *val_values])
        notes.append(note)
    notes += notes_on_copies(data)
    return replace(data, notes=tuple(dict.fromkeys(notes)))


def check_images(images: ImageSet, on_error: OnError = "stop") -> tuple[ImageSet, list[str]]:
    """Return the images that can be read, and notes on the others; photos with masks as they are, like `check_data`.

    Raises:
        DataError: images cannot be read, and `on_error` is "stop" or nothing is left.
    """
    if _was_checked(images):
        return images, []
    bad, _ = _look(images, lambda done: None)
    if not bad:
        return images, []
    note = _say(list(bad.values()), len(images), on_error)
    if len(bad) == len(images):
        raise DataError(note)
    return _without(images, bad), [note]


def _was_checked(images: TargetSet) -> bool:
    """Return whether a set was checked when it was loaded, as photos with masks are."""
    return not isinstance(images, ImageSet)


def _look(images: ImageSet, progress: Callable[[int], None]) -> tuple[dict[int, str], list[tuple[float, float, bool]]]:
    """Decode all images in threads. Returns errors by position, and the extremes of values of unknown range."""
    if isinstance(images.source, ArraySource):
        return {}, []

    def examine(position: int) -> _Finding:
        try:
            return _Finding(extremes=_examine(images, position).extremes)
        except ImageError as error:
            name = images.describe(position)
            return _Finding(error=str(error) if name in str(error) else f"{name}: {error}")

    bad, extremes = {}, []
    for position, finding in enumerate(map_ahead(examine, range(len(images)), ahead=_AHEAD)):
        if finding.error is not None:
            bad[position] = finding.error
        elif finding.extremes is not None:
            extremes.append(finding.extremes)
        progress(position + 1)
    return bad, extremes


def _examine(images: ImageSet, position: int) -> Decoded:
    raw = images.raw(position)
    if isinstance(raw, Path | io.BytesIO):
        # A JPEG file is read to its end either way; an eighth of its size takes a third of the time.
        return decode(raw, images.decoding, reduced=True)
    if isinstance(raw, Image.Image | np.ndarray):
        return decode(raw, images.decoding)
    raise ImageError(f"is a {type(raw).__name__}, not an image")


def _without(images: ImageSet, bad: dict[int, str]) -> ImageSet:
    return images.subset([position for position in range(len(images)) if position not in bad])


def _say(bad: Sequence[str], total: int, on_error: OnError) -> str:
    shown = listed([printable(entry, 300) for entry in bad], _SHOWN, "; ", "; and ")
    many = f"{len(bad)} of {total} images cannot be read"
    if on_error == "skip":
        return f"{many} and are left out: {shown}"
    raise DataError(f"{many}: {shown}. Fix or remove them, or skip them with data.on_error=skip (--on-error skip)")


def _demand_classes(train: ImageSet, bad: Sequence[str]) -> None:
    empty = absent_classes(train)
    if empty:
        many = "a class" if len(empty) == 1 else f"{len(empty)} of {len(train.labels)} classes"
        raise DataError(
            f"none of the training images of {many} can be read: {listed(empty, _SHOWN)}. Mend them or remove the "
            f"folder; the first that cannot be read: {bad[0]}"
        )


def _with_range(data: Data, extremes: list[tuple[float, float, bool]]) -> tuple[Data, str]:
    try:
        found = fitting_range(extremes)
    except ImageError as error:
        raise DataError(str(error)) from None
    assert found is not None
    low, high = found
    decoding = replace(data.train.decoding, value_range=found)
    smallest, largest = min(entry[0] for entry in extremes), max(entry[1] for entry in extremes)
    note = (
        f"{len(extremes)} images are deeper than 8 bits and do not state their range; they have values from "
        f"{smallest:g} to {largest:g}: {low:g} is taken for black and {high:g} for white, in prediction too "
        "(data.bit_depth changes that)"
    )
    return replace(data, train=data.train.decoded(decoding), val=data.val.decoded(decoding)), note

"""A data set in a few lines, for whoever is about to train on it."""

from __future__ import annotations

from bitvit.data.image_set import Data
from bitvit.text import listed, printable

__all__ = ["summary_lines"]

_SHOWN = 40


def summary_lines(data: Data) -> list[str]:
    """Return the classes with their numbers of images, in the order of the network's outputs, and the notes."""
    counts = [part.class_counts() for part in (data.train, data.val)]
    what = ""
    numbers = [[str(count) for count in part] for part in counts]
    if data.train.counted != "images":
        what = f", share of their {data.train.counted}"
        numbers = [[f"{share:.1%}" for share in part / part.sum()] for part in counts]
    classes = [
        f"{printable(label, 60)} {train} + {val}" for label, train, val in zip(data.labels, *numbers, strict=True)
    ]
    return [
        f"{printable(data.name)}: {len(data.train)} training and {len(data.val)} validation images of "
        f"{len(data.labels)} classes (training + validation{what}): {listed(classes, _SHOWN, conjunction=', and ')}",
        *(f"note: {note}" for note in data.notes),
    ]

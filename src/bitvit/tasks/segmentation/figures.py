"""Pictures of a segmentation: photos, their masks and what networks make of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from bitvit.runtime.label_maps import IGNORED, Labels, indexed_image
from bitvit.tasks.task import Classes
from bitvit.text import for_figure

__all__ = ["draw_label_maps"]

_MOST_NAMES = 24
_IGNORED_COLOR = (255, 255, 255)


def draw_label_maps(
    photos: Sequence[Image.Image], label_maps: Mapping[str, Sequence[Labels]], classes: Classes
) -> bytes:
    """Draw photos side by side with label maps of them below, and the names of the classes that occur, as PNG.

    Args:
        photos: one for each column.
        label_maps: title of a row -> for each photo a map uint8 ``[H, W]``; 255 (ignored) is drawn white.
        classes: names and colours.

    Returns:
        The PNG file.
    """
    # The object interface: pyplot would choose a window system and keep global state.
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    assert classes.colors is not None
    palette = [*classes.colors, *[_IGNORED_COLOR] * (IGNORED + 1 - len(classes.colors))]
    rows: dict[str, Sequence[Any]] = {"photo": [photo.convert("RGB") for photo in photos]}
    for title, maps in label_maps.items():
        rows[title] = [indexed_image(labels, palette).convert("RGB") for labels in maps]
    figure = Figure(figsize=(1.6 * len(photos) + 0.4, 1.6 * len(rows) + 0.6), dpi=120, layout="constrained")
    axes = figure.subplots(len(rows), len(photos), squeeze=False)
    for row, (title, pictures) in enumerate(rows.items()):
        for column, picture in enumerate(pictures):
            cell = axes[row, column]
            cell.imshow(np.asarray(picture), interpolation="nearest")
            cell.set_xticks([])
            cell.set_yticks([])
        axes[row, 0].set_ylabel(title)
    numbers = np.unique(np.concatenate([np.unique(labels) for maps in label_maps.values() for labels in maps]))
    shown = [int(number) for number in numbers if number < len(classes)][:_MOST_NAMES]
    handles = [
        Patch(facecolor="#{:02x}{:02x}{:02x}".format(*palette[number]), edgecolor="grey", label=for_figure(name))
        for number, name in ((number, classes.labels[number]) for number in shown)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6), fontsize=7, frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()

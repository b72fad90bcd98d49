"""Figures of Matplotlib as bytes."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["png_of"]


def png_of(figure: Figure) -> bytes:
    """Return a figure as PNG, the same bytes for the same figure.

    Letters that Matplotlib's font lacks, which many scripts need, appear as boxes: names belong in the text beside it.
    """
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        warnings.filterwarnings("ignore", "Matplotlib currently does not support")
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()

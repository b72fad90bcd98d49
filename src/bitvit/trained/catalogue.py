"""The files of this folder by their names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["TrainedModel", "trained_model", "trained_models"]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class TrainedModel:
    """A network that comes with bitvit.

    Attributes:
        name: what `bitvit.load` takes.
        path: the ``.bitvit`` file.
        card: its model card, Markdown.
        sample: a picture to try it on; no training image.
    """

    name: str
    path: Path
    card: Path
    sample: Path


@cache
def trained_models() -> tuple[TrainedModel, ...]:
    """Return the networks that come with bitvit, by name."""
    return tuple(
        TrainedModel(path.stem, path, path.with_suffix(".md"), path.with_suffix(".png"))
        for path in sorted(_FOLDER.glob("*.bitvit"))
    )


def trained_model(name: str) -> TrainedModel | None:
    """Return the network of that name; None if none is called so."""
    return next((model for model in trained_models() if model.name == name), None)

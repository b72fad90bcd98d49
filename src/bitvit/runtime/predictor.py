"""A network from a ``.bitvit`` file, ready to answer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from bitvit.errors import ImageError, UsageError
from bitvit.program import BitvitFile, read_file
from bitvit.program.schema import F32Array, Preprocessing
from bitvit.runtime.engine import Engine
from bitvit.runtime.preprocessing import ImageSource, load_image

__all__ = ["FileInfo", "Prediction", "Predictor", "load"]

_IMAGES_AT_ONCE = 32


@dataclass(frozen=True)
class Prediction:
    """The answer for one image: the most probable class, and the next ones.

    Probabilities are the softmax of the logits; a trained network is usually surer of itself than it should be.
    """

    label: str
    index: int
    probability: float
    top: tuple[tuple[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "label": self.label,
            "index": self.index,
            "probability": self.probability,
            "top": [{"label": label, "probability": probability} for label, probability in self.top],
        }


@dataclass(frozen=True)
class FileInfo:
    """What a ``.bitvit`` file says about itself."""

    path: str
    size_bytes: int
    n_operators: int
    n_tensors: int
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    provenance: dict[str, Any]


class Predictor:
    """Answers for images, by the C++ engine. Made by `load`.

    The answer for an image does not depend on the others in the list, nor on ``threads`` or ``isa``.
    """

    def __init__(self, file: BitvitFile, info: FileInfo, threads: int | None = None, isa: str | None = None) -> None:
        self.info = info
        self.labels: list[str] = list(file.labels)
        self.preprocessing = file.preprocessing
        self.engine = Engine(file.program, file.tensors, threads=threads, isa=isa)

    @overload
    def predict(self, image: list[ImageSource] | tuple[ImageSource, ...], top_k: int = ...) -> list[Prediction]: ...

    @overload
    def predict(self, image: ImageSource, top_k: int = ...) -> Prediction: ...

    def predict(
        self, image: ImageSource | list[ImageSource] | tuple[ImageSource, ...], top_k: int = 5
    ) -> Prediction | list[Prediction]:
        """The class of an image, or of each image of a list.

        Args:
            image: path, binary stream, Pillow image or array (see `load_image`), or a list of these.
            top_k: how many classes to name in ``Prediction.top`` (all, if there are fewer).

        Raises:
            ImageError: an image cannot be read; the message names it.
        """
        if top_k < 1:
            raise UsageError(f"top_k is {top_k}, but it must be at least 1")
        if not isinstance(image, list | tuple):
            return self._predict_all([image], top_k)[0]
        return self._predict_all(image, top_k)

    def logits(self, images: npt.NDArray[np.uint8]) -> F32Array:
        """Logits of prepared images, the same to the last bit on every processor.

        uint8 [B, H, W, 3] -> float32 [B, classes].

        Raises:
            ImageError: the array has another type or shape.
        """
        expected = (*self.preprocessing.image_size, 3)
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != expected:
            found = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
            raise ImageError(f"expected uint8 [batch, {', '.join(map(str, expected))}], found {found}")
        if not len(images):
            return np.empty((0, len(self.labels)), dtype=np.float32)
        logits: F32Array = self.engine.run(np.ascontiguousarray(images))
        return logits

    def _predict_all(self, images: Sequence[ImageSource], top_k: int) -> list[Prediction]:
        predictions: list[Prediction] = []
        for start in range(0, len(images), _IMAGES_AT_ONCE):
            part = images[start : start + _IMAGES_AT_ONCE]
            prepared = np.stack([load_image(image, self.preprocessing) for image in part])
            predictions += [self._prediction(row, top_k) for row in self.logits(prepared)]
        return predictions

    def _prediction(self, logits: F32Array, top_k: int) -> Prediction:
        shifted = np.exp(logits.astype(np.float64) - float(logits.max()))
        probabilities = shifted / shifted.sum()
        order = np.argsort(-logits, kind="stable")[:top_k]
        top = tuple((self.labels[i], float(probabilities[i])) for i in order)
        return Prediction(top[0][0], int(order[0]), top[0][1], top)


def load(path: str | os.PathLike[str], threads: int | None = None, isa: str | None = None) -> Predictor:
    """Load a ``.bitvit`` file.

    Args:
        path: the file.
        threads: how many threads work on a batch; by default the engine decides.
        isa: instruction set, one of `available_isas`; by default the best one, or ``BITVIT_ISA`` from the environment.

    Raises:
        ProgramError: the file cannot be read, or is no sound ``.bitvit`` file; the message names it.
    """
    file = read_file(path)
    return Predictor(file, file_info(path, file), threads=threads, isa=isa)


def file_info(path: str | os.PathLike[str], file: BitvitFile) -> FileInfo:
    """The facts about a file that has been read."""
    return FileInfo(
        path=os.fspath(path),
        size_bytes=os.stat(path).st_size,
        n_operators=len(file.program.ops),
        n_tensors=len(file.tensors),
        labels=tuple(file.labels),
        preprocessing=file.preprocessing,
        provenance=file.provenance,
    )

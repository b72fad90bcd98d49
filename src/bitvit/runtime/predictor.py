"""A network from a ``.bitvit`` file, ready to answer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from bitvit import _core
from bitvit.errors import ImageError, UsageError
from bitvit.model_files import hub_file, local_file
from bitvit.program import open_model
from bitvit.program.metadata import preprocessing_from_json
from bitvit.program.schema import AnyArray, F32Array, Preprocessing
from bitvit.runtime.ahead import map_ahead
from bitvit.runtime.classification import Prediction, check_finite, classify
from bitvit.runtime.decoding import Decoding, ImageSource, decode
from bitvit.runtime.engine import Engine
from bitvit.runtime.label_maps import default_colors
from bitvit.runtime.preprocessing import decoding_of, prepare
from bitvit.runtime.segmentation import Segmentation, segment
from bitvit.trained import trained_model

__all__ = ["Answer", "FileInfo", "Prediction", "Predictor", "Segmentation", "load"]

_IMAGES_AT_ONCE = 32
_IN_MEMORY = "(in memory)"

Source = TypeVar("Source", bound=ImageSource)


@dataclass(frozen=True)
class FileInfo:
    """The metadata of a ``.bitvit`` file.

    `path` is where it was read; `(in memory)` if it came as bytes.
    """

    path: str
    size_bytes: int
    n_operators: int
    n_tensors: int
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    provenance: dict[str, Any]
    task: str = "classification"
    colors: tuple[tuple[int, int, int], ...] | None = None


@dataclass(frozen=True)
class Answer(Generic[Source]):
    """What came of one image of a stream: a prediction or an error.

    Attributes:
        source: the image as it was given.
        prediction: see `Predictor.predict`; None where there is an error.
        error: why there is no prediction.
        note: what looks wrong about an image that could be read.
    """

    source: Source
    prediction: Any
    error: ImageError | None = None
    note: str | None = None


@dataclass(frozen=True)
class _Prepared(Generic[Source]):
    source: Source
    pixels: npt.NDArray[np.uint8] | None
    size: tuple[int, int] = (0, 0)
    error: ImageError | None = None
    note: str | None = None


class Predictor:
    """Answers for images, by the C++ engine. Made by `load`.

    The answer for an image does not depend on the others in the list, nor on ``threads`` or ``isa``.

    Attributes:
        decoding: how images are decoded; its limit of pixels, and the range of values deeper than 8 bits, may be
            replaced.
    """

    def __init__(self, info: FileInfo, engine: Engine) -> None:
        self.info = info
        self.labels: list[str] = list(info.labels)
        self.preprocessing = info.preprocessing
        self.decoding: Decoding = decoding_of(info.preprocessing)
        self.engine = engine
        # As `load` was asked; None lets each machine decide for itself.
        self._asked: tuple[int | None, str | None] = (None, None)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the file's content with `threads` and `isa` as they were asked for.

        So another process or machine needs no file, and answers alike. It chooses its own threads and instruction set
        where `load` was not told. The content is checked again when it is unpickled.
        """
        return _unpickled, (self.engine.content(), self.info, self._asked, self.decoding)

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike[str],
        *,
        revision: str | None = None,
        threads: int | None = None,
        isa: str | None = None,
    ) -> Predictor:
        """Load a file from the Hugging Face Hub, or a local one.

        Args:
            source: ``user/name`` or ``hf://user/name`` on the hub; with ``/file.bitvit`` if there are several.
                A local file of that path, and the name of a file that comes with bitvit, come first.
            revision: branch, tag or commit on the hub.
            threads: as in `load`.
            isa: as in `load`.

        Raises:
            ProgramError: the file cannot be read, or is no sound ``.bitvit`` file; the message names it.
            HubError: the hub has no such file, refuses access, or cannot be reached.
        """
        is_near = os.path.exists(source) or trained_model(os.fspath(source)) is not None
        path = source if is_near else hub_file(source, revision)
        return load(path, threads=threads, isa=isa)

    def predict(self, image: ImageSource | list[ImageSource] | tuple[ImageSource, ...], top_k: int = 5) -> Any:
        """Return the answer for an image, or for each image of a list.

        A `Prediction` (class, logits and probabilities), or of a network for segmentation a `Segmentation` (label map
        of the photo's own size, and names).

        Args:
            image: path, binary stream, Pillow image or array (see `load_image`), or a list of these.
            top_k: how many classes to name in ``Prediction.top`` (all, if there are fewer).

        Raises:
            ImageError: an image cannot be read; the message names it.
            OutputValueError: the network's output is not finite.
        """
        _check_top_k(top_k)
        if not isinstance(image, list | tuple):
            photo = decode(image, self.decoding).image
            output = self.outputs(prepare(photo, self.preprocessing)[None])[0]
            return self._meaning(output, (photo.height, photo.width), top_k)
        predictions = []
        for answer in self.stream(image, top_k=top_k):
            if answer.prediction is None:
                raise answer.error or ImageError("no prediction")
            predictions.append(answer.prediction)
        return predictions

    def stream(
        self,
        images: Iterable[Source],
        *,
        top_k: int = 5,
        batch_size: int = _IMAGES_AT_ONCE,
        workers: int | None = None,
    ) -> Iterator[Answer[Source]]:
        """Yield the answer for every image in order, as they come; threads decode the next images meanwhile.

        Memory depends on `batch_size` and the number of threads, not on the number of images, which may be endless. An
        image that cannot be read gives an answer with its error, and the others go on.

        Args:
            images: as `predict` takes them.
            top_k: how many classes to name.
            batch_size: images computed at a time.
            workers: threads that decode; by default one for each processor.

        Raises:
            OutputValueError: the network's output is not finite.
        """
        _check_top_k(top_k)
        if batch_size < 1 or (workers is not None and workers < 1):
            raise UsageError("batch_size and workers must be at least 1")
        prepared = map_ahead(self._prepare, images, ahead=2 * batch_size, workers=workers)
        while batch := list(islice(prepared, batch_size)):
            pixels = [item.pixels for item in batch if item.pixels is not None]
            outputs = iter(self.outputs(np.stack(pixels)) if pixels else ())
            for item in batch:
                prediction = self._meaning(next(outputs), item.size, top_k) if item.pixels is not None else None
                yield Answer(item.source, prediction, item.error, item.note)

    def _meaning(self, output: AnyArray, size: tuple[int, int], top_k: int) -> Prediction | Segmentation:
        """What the network's output for one image of this height and width says."""
        if self.info.task == "segmentation":
            colors = self.info.colors or default_colors(len(self.labels))
            return segment(output, self.labels, colors, self.preprocessing.image_size, size)
        return classify(output, self.labels, top_k)

    def logits(self, images: npt.NDArray[np.uint8]) -> F32Array:
        """Logits of prepared images, the same to the last bit on every processor.

        uint8 [B, H, W, C] -> float32 [B, classes].

        Raises:
            ImageError: the array has another type or shape.
            OutputValueError: a logit is not finite.
            UsageError: the network is for segmentation and gives classes, no logits.
        """
        if self.info.task == "segmentation":
            raise UsageError("a network for segmentation has no logits: use predict, or outputs")
        return self.outputs(images)

    def outputs(self, images: npt.NDArray[np.uint8]) -> AnyArray:
        """Outputs of prepared images, the same to the last bit on every processor.

        uint8 [B, H, W, C] -> logits float32 [B, classes], or for segmentation the class of each pixel, int32 [B,
        pixels].

        Raises:
            ImageError: the array has another type or shape.
            OutputValueError: a logit is not finite.
        """
        expected = (*self.preprocessing.image_size, self.decoding.channels)
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != expected:
            found = f"{images.dtype} {list(images.shape)}" if isinstance(images, np.ndarray) else type(images).__name__
            raise ImageError(f"expected uint8 [batch, {', '.join(map(str, expected))}], found {found}")
        if not len(images):
            output = self.engine.program.values[self.engine.program.output]
            return np.empty((0, output.shape[-1]), dtype=np.int32 if output.type == "i32" else np.float32)
        outputs = self.engine.run(np.ascontiguousarray(images))
        check_finite(outputs)
        return outputs

    def _prepare(self, source: Source) -> _Prepared[Source]:
        try:
            decoded = decode(source, self.decoding)
            size = (decoded.image.height, decoded.image.width)
            return _Prepared(source, prepare(decoded.image, self.preprocessing), size, note=decoded.note)
        except ImageError as error:
            return _Prepared(source, None, error=error)


def _unpickled(content: bytes, info: FileInfo, asked: tuple[int | None, str | None], decoding: Decoding) -> Predictor:
    predictor = load(content, *asked)
    predictor.info = info
    predictor.decoding = decoding
    return predictor


def _check_top_k(top_k: int) -> None:
    if top_k < 1:
        raise UsageError(f"top_k is {top_k}, but it must be at least 1")


def load(source: str | os.PathLike[str] | bytes, threads: int | None = None, isa: str | None = None) -> Predictor:
    """Load a ``.bitvit`` file.

    Args:
        source: the file, its content, its address on the hub, ``hf://user/name`` (see `Predictor.from_pretrained`), or
            the name of one that comes with bitvit, such as ``digits`` (see `bitvit.trained`); a local file of that name
            comes first.
        threads: how many threads work on a batch; by default the engine decides.
        isa: instruction set, one of `available_isas`; by default the best one, or ``BITVIT_ISA`` from the environment.

    Raises:
        ProgramError: the file cannot be read, or is no sound ``.bitvit`` file; the message names it.
        HubError: the hub has no such file, refuses access, or cannot be reached.
    """
    if isinstance(source, bytes):
        path, size = _IN_MEMORY, len(source)
        model = open_model(source)
    else:
        path = os.fspath(local_file(source))
        model = open_model(path)
        size = os.stat(path).st_size
    predictor = Predictor(_file_info(path, size, model), Engine.of_model(model, threads=threads, isa=isa))
    predictor._asked = (threads, isa)
    return predictor


def _file_info(path: str, size_bytes: int, model: _core.Model) -> FileInfo:
    metadata = model.metadata()
    return FileInfo(
        path=path,
        size_bytes=size_bytes,
        n_operators=model.n_operators,
        n_tensors=model.n_tensors,
        labels=tuple(json.loads(metadata["labels"])),
        preprocessing=preprocessing_from_json(metadata["preprocessing"]),
        provenance=json.loads(metadata["provenance"]),
        task=metadata["task"],
        colors=_colors(metadata.get("colors")),
    )


def _colors(text: str | None) -> tuple[tuple[int, int, int], ...] | None:
    return None if text is None else tuple((red, green, blue) for red, green, blue in json.loads(text))

"""What a benchmark is about: a `.bitvit` file, or a registered model with random weights packed on the spot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitvit.program import BitvitFile, read_file, write_file

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Subject:
    """A packed network, and how to build the model that it comes from.

    Attributes:
        name: for titles.
        model: its registered name, None where unknown.
        file: the packed network.
        size_bytes: of the file, or of all tensors where there is none.
        build: returns the unpacked model, for images of another size if one is given; None where the file does not say
            how its model is built.
        path: of the file, None for a model.
    """

    name: str
    model: str | None
    file: BitvitFile
    size_bytes: int
    build: Callable[[int | None], nn.Module] | None
    path: Path | None = None

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of its images."""
        height, width, _ = self.file.program.values[self.file.program.input].shape
        return height, width

    def images(self, batch: int) -> npt.NDArray[np.uint8]:
        """Return random images, the same each time."""
        shape = self.file.program.values[self.file.program.input].shape
        return np.random.default_rng(0).integers(0, 256, (batch, *shape), np.uint8)

    def resized(self, image_size: int) -> Subject:
        """Return the same architecture with random weights for square images of another size.

        Raises:
            UsageError: the architecture cannot take such images.
        """
        assert self.build is not None
        return _packed(f"{self.name} at {image_size}", self.model, self.build(image_size), self.build)

    def write(self, folder: Path) -> Path:
        """Return the path of its file, written to `folder` if it is none yet."""
        if self.path is not None:
            return self.path
        path = folder / "model.bitvit"
        write_file(path, self.file)
        return path


def subject_of_file(path: Path) -> Subject:
    """Read a `.bitvit` file. PyTorch is needed only to `build` its model.

    Raises:
        ProgramError: the file cannot be read or is malformed.
    """
    file = read_file(path)
    model = file.provenance.get("model")
    architecture: Any = file.provenance.get("architecture")
    known = isinstance(architecture, dict)

    def build(image_size: int | None) -> nn.Module:
        from bitvit.checkpoints import CheckpointError, ModelError, build_model, model_spec

        resized = {} if image_size is None else {"image_size": image_size}
        try:
            return build_model(model_spec({**architecture, **resized}))
        except (CheckpointError, ModelError) as error:
            raise CheckpointError(f"{path}: {error}; --only-bitvit times the file alone") from None

    name = None if model is None else str(model)
    return Subject(str(path), name, file, path.stat().st_size, build if known else None, path)


def subject_of_model(name: str) -> Subject:
    """Pack a registered model with random weights.

    Raises:
        UsageError: there is no such model, or it has no packed form.
    """
    from bitvit.models import create_model

    def build(image_size: int | None) -> nn.Module:
        return create_model(name) if image_size is None else create_model(name, img_size=image_size)

    return _packed(name, name, build(None), build)


def _packed(name: str, model_name: str | None, model: nn.Module, build: Callable[[int | None], nn.Module]) -> Subject:
    from bitvit.export import build_program, pack, unlabelled_file

    packed = pack(model.eval())
    program, tensors = build_program(packed)
    file = unlabelled_file(packed, program, tensors, {"model": model_name})
    size = sum(tensor.nbytes for tensor in tensors.values())
    return Subject(name, model_name, file, size, build)

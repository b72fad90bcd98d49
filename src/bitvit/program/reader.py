"""Reads ``.bitvit`` files. They are untrusted: a malformed one raises the `ProgramError` named after what is wrong.

Every check is the core's (``cpp/program/``): what Python gets to see has passed them all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitvit import _core
from bitvit.files import open_regular_file
from bitvit.program.errors import ProgramError, SizeLimitError, UnreadableFileError
from bitvit.program.metadata import preprocessing_from_json, program_from_json
from bitvit.program.schema import MAX_FILE_BYTES, BitvitFile

__all__ = ["decode", "open_model", "read_bytes", "read_file"]


def read_file(path: str | os.PathLike[str]) -> BitvitFile:
    """Read and check a ``.bitvit`` file.

    Raises:
        ProgramError: the file cannot be read, or violates a rule of ``docs/format.md``; the message names the file.
    """
    return decode(open_model(path))


def open_model(source: str | os.PathLike[str] | bytes) -> _core.Model:
    """Read and check a ``.bitvit`` file, or the content of one; the result stays in the core, ready to run.

    Raises:
        ProgramError: the file cannot be read, or violates a rule of ``docs/format.md``; the message names the file.
    """
    if isinstance(source, bytes):
        return _core.read_model(source)
    path = source
    with _naming(path):
        return _core.read_model(_content(Path(path)))


def read_bytes(data: bytes) -> BitvitFile:
    """Check and decode the content of a ``.bitvit`` file.

    Raises:
        ProgramError: the content violates a rule of ``docs/format.md``.
    """
    return decode(_core.read_model(bytes(data)))


def decode(model: _core.Model) -> BitvitFile:
    """The file's content as Python objects. Tensors are read-only views of the file's bytes."""
    metadata = model.metadata()
    colors = json.loads(metadata["colors"]) if "colors" in metadata else None
    return BitvitFile(
        program=program_from_json(metadata["program"]),
        tensors=model.tensors(),
        preprocessing=preprocessing_from_json(metadata["preprocessing"]),
        labels=json.loads(metadata["labels"]),
        provenance=json.loads(metadata["provenance"]),
        task=metadata["task"],
        colors=None if colors is None else [(red, green, blue) for red, green, blue in colors],
    )


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the path in front of the error message."""
    try:
        yield
    except ProgramError as error:
        raise type(error)(f"{path}: {error}") from None


def _content(path: Path) -> bytes:
    # Copied, not mapped: the bytes must stay what they were when they were checked, whatever happens to the file.
    try:
        with open_regular_file(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MAX_FILE_BYTES:
                raise SizeLimitError(f"{size} bytes, at most {MAX_FILE_BYTES} are allowed")
            # Not the most that is allowed: memory would be reserved for it, and its pages would be new ones each time.
            content = stream.read(size + 1)
            if len(content) > size:  # it grows, or is of a kind that does not tell its size
                content += stream.read(MAX_FILE_BYTES + 1 - len(content))
            return content
    except FileNotFoundError:
        raise UnreadableFileError("no such file") from None
    except IsADirectoryError:
        hint = "; of a run, make one with `bitvit export`" if (path / "recipe.yaml").is_file() else ""
        raise UnreadableFileError(f"this is a folder, expected a .bitvit file{hint}") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise UnreadableFileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None

"""Writes ``.bitvit`` files. Equal content gives equal bytes, and a half-written file never appears."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from bitvit import _core
from bitvit.files import write_atomically
from bitvit.program.errors import MetadataError, TensorTypeError
from bitvit.program.metadata import dump, to_metadata
from bitvit.program.schema import TENSOR_DTYPES, AnyArray, BitvitFile
from bitvit.program.validation import validate

__all__ = ["to_bytes", "validate_file", "write_file"]


def write_file(path: str | os.PathLike[str], file: BitvitFile) -> None:
    """Check and write a file; see `write_atomically` for what happens when that fails.

    Raises:
        ProgramError: the content violates a rule of ``docs/format.md``; nothing is written.
        OutputError: the path cannot be written.
    """
    write_atomically(path, to_bytes(file))


def validate_file(file: BitvitFile) -> None:
    """Raise the `ProgramError` named after the first rule that the file would violate."""
    to_bytes(file)


def to_bytes(file: BitvitFile) -> bytes:
    """The content of the file, checked by reading it.

    Raises:
        ProgramError: the content violates a rule of ``docs/format.md``.
    """
    try:
        metadata = to_metadata(file)
    except MetadataError:
        validate(file.program, file.tensors)  # an error of the Program itself says more
        raise
    data = container(metadata, file.tensors)
    _core.read_model(data)
    return data


def container(metadata: dict[str, str], tensors: Mapping[str, AnyArray]) -> bytes:
    """A safetensors container, put together here because the safetensors library orders the metadata at random.

    Raises:
        MetadataError, TensorTypeError: a tensor's name or element type cannot be stored.
    """
    dtype_names = {dtype: name for name, dtype in TENSOR_DTYPES.items()}
    for name, tensor in tensors.items():
        if tensor.dtype not in dtype_names:
            raise TensorTypeError(f"tensor {name!r:.80} has the element type {tensor.dtype}")
    if "__metadata__" in tensors:
        raise MetadataError("'__metadata__' cannot be the name of a tensor")
    # Wide elements first, as safetensors does, so that every tensor is aligned to its element size.
    names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    arrays = {name: np.ascontiguousarray(tensors[name]) for name in names}
    header: dict[str, object] = {"__metadata__": metadata | {"checksum": _core.checksum(metadata, arrays)}}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        shape = tensors[name].shape  # an array of no axes gets one by ascontiguousarray
        header[name] = {"dtype": dtype_names[array.dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = dump(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(array.tobytes() for array in arrays.values())])

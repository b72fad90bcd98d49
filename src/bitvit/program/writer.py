"""Writes ``.bitvit`` files. Equal content gives equal bytes, and a half-written file never appears."""

from __future__ import annotations

import os

import numpy as np

from bitvit.files import write_atomically
from bitvit.program.errors import MetadataError
from bitvit.program.metadata import checksum, dump, to_metadata
from bitvit.program.schema import FORMAT_NAME, FORMAT_VERSION, BitvitFile
from bitvit.program.validation import TENSOR_DTYPES, validate_file

__all__ = ["to_bytes", "write_file"]


def write_file(path: str | os.PathLike[str], file: BitvitFile) -> None:
    """Check and write a file; see `write_atomically` for what happens when that fails.

    Raises:
        ProgramError: the content violates a rule of ``docs/format.md``; nothing is written.
        OutputError: the path cannot be written.
    """
    write_atomically(path, to_bytes(file))


def to_bytes(file: BitvitFile) -> bytes:
    """The content of the file, checked.

    A safetensors container, put together here because the safetensors library never orders the metadata the same way.

    Raises:
        ProgramError: the content violates a rule of ``docs/format.md``.
    """
    validate_file(file)
    dtype_names = {dtype: name for name, dtype in TENSOR_DTYPES.items()}
    # Wide elements first, as safetensors does, so that every tensor is aligned to its element size.
    names = sorted(file.tensors, key=lambda name: (-file.tensors[name].dtype.itemsize, name))
    tensors = {name: np.ascontiguousarray(file.tensors[name]) for name in names}
    if "__metadata__" in tensors:
        raise MetadataError("'__metadata__' cannot be the name of a tensor")
    metadata = {"format": FORMAT_NAME, "format_version": str(FORMAT_VERSION), **to_metadata(file)}
    metadata["checksum"] = checksum(metadata, tensors)
    header: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": dtype_names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = dump(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *(tensor.tobytes() for tensor in tensors.values())])

"""Reads ``.bitvit`` files. They are untrusted: a malformed one raises the `ProgramError` named after its defect."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from bitvit.program.errors import (
    ChecksumError,
    MetadataError,
    NewerFormatError,
    NotABitvitFileError,
    ProgramError,
    SizeLimitError,
    TensorTypeError,
    TruncatedFileError,
    UnreadableFileError,
)
from bitvit.program.metadata import (
    METADATA_KEYS,
    checksum,
    labels_from_json,
    parse,
    preprocessing_from_json,
    program_from_json,
    provenance_from_json,
)
from bitvit.program.schema import FORMAT_NAME, FORMAT_VERSION, AnyArray, BitvitFile
from bitvit.program.validation import TENSOR_DTYPES, validate_file

__all__ = ["read_bytes", "read_file"]

MAX_FILE_BYTES = 1 << 32
MAX_HEADER_BYTES = 100_000_000  # the limit of safetensors


def read_file(path: str | os.PathLike[str]) -> BitvitFile:
    """Read and check a ``.bitvit`` file.

    Raises:
        ProgramError: the file cannot be read, or violates a rule of ``docs/format.md``; the message names the file.
    """
    try:
        return read_bytes(_content(Path(path)))
    except ProgramError as error:
        raise type(error)(f"{path}: {error}") from None


def read_bytes(data: bytes) -> BitvitFile:
    """Check and decode the content of a ``.bitvit`` file.

    Raises:
        ProgramError: the content violates a rule of ``docs/format.md``.
    """
    header = _header(data)
    metadata = _metadata(header)
    tensors = _tensors(data, header)
    if metadata["checksum"] != checksum(metadata, tensors):
        raise ChecksumError("the checksum does not match: the file is damaged; copy or export it again")
    file = BitvitFile(
        program=program_from_json(parse(metadata["program"], "'program'")),
        tensors=tensors,
        preprocessing=preprocessing_from_json(parse(metadata["preprocessing"], "'preprocessing'")),
        labels=labels_from_json(parse(metadata["labels"], "'labels'")),
        provenance=provenance_from_json(parse(metadata["provenance"], "'provenance'")),
    )
    validate_file(file)
    return file


def _content(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode  # asked before opening: a pipe would keep it waiting
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UnreadableFileError("not a regular file")
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableFileError("not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                raise SizeLimitError(f"{status.st_size} bytes, at most {MAX_FILE_BYTES} are allowed")
            return stream.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UnreadableFileError("no such file") from None
    except IsADirectoryError:
        raise UnreadableFileError("this is a folder, expected a .bitvit file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise UnreadableFileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _header(data: bytes) -> dict[str, Any]:
    """The JSON header of the safetensors container."""
    if not data:
        raise TruncatedFileError("the file is empty")
    header_size = int.from_bytes(data[:8], "little")
    if len(data) > 8 and (header_size > MAX_HEADER_BYTES or data[8:9] != b"{"):
        raise NotABitvitFileError("not a .bitvit file")
    if len(data) <= 8 or 8 + header_size > len(data):
        raise TruncatedFileError("the file ends within its header; copy or download it again")
    try:
        header = parse(data[8 : 8 + header_size].decode("utf-8"), "the header")
    except UnicodeDecodeError:
        raise NotABitvitFileError("the header is no UTF-8: not a .bitvit file, or a damaged one") from None
    except MetadataError as error:
        raise NotABitvitFileError(f"not a .bitvit file, or a damaged one: {error}") from None
    if not isinstance(header, dict):
        raise NotABitvitFileError("not a .bitvit file")
    return header


def _metadata(header: dict[str, Any]) -> dict[str, str]:
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT_NAME:
        raise NotABitvitFileError("a safetensors file, but not a .bitvit file; make one with `bitvit export`")
    version = metadata.get("format_version")
    if not isinstance(version, str) or not re.fullmatch(r"[1-9][0-9]{0,8}", version):
        raise MetadataError("'format_version' must be a positive number")
    if int(version) > FORMAT_VERSION:
        raise NewerFormatError(
            f"format version {version}, but this bitvit reads up to {FORMAT_VERSION}; upgrade bitvit"
        )
    for key in sorted(METADATA_KEYS - metadata.keys()):
        raise MetadataError(f"the metadata lack {key!r}")
    for key, text in metadata.items():
        if key not in METADATA_KEYS:
            raise MetadataError(f"the metadata have the unknown key {key!r:.80}")
        if not isinstance(text, str):
            raise MetadataError(f"metadata {key!r} must be a text")
    return metadata


def _tensors(data: bytes, header: dict[str, Any]) -> dict[str, AnyArray]:
    """The tensors, as arrays over the bytes that the safetensors library hands out after its own checks."""
    try:
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        if _promised_size(header) > len(data) - 8 - int.from_bytes(data[:8], "little"):
            raise TruncatedFileError("the file ends within its tensors; copy or download it again") from None
        raise NotABitvitFileError(f"no sound safetensors container: {error!s:.200}") from None
    tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in TENSOR_DTYPES:
            raise TensorTypeError(f"tensor {name!r:.80} has the element type {entry['dtype']}")
        if 0 in entry["shape"]:
            raise SizeLimitError(f"tensor {name!r:.80} has shape {entry['shape']}; sizes start from 1")
        tensors[name] = np.frombuffer(entry["data"], dtype=TENSOR_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def _promised_size(header: dict[str, Any]) -> int:
    """Where the tensors end according to the header, in bytes after it; 0 where the header makes no sense."""
    ends = [0]
    for name, entry in header.items():
        offsets = entry.get("data_offsets") if name != "__metadata__" and isinstance(entry, dict) else None
        if isinstance(offsets, list) and len(offsets) == 2 and isinstance(offsets[1], int):
            ends.append(offsets[1])
    return max(ends)

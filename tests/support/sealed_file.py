"""Files with edited metadata or tensors and a right checksum, written without bitvit and from ``docs/format.md``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import safetensors.numpy

from bitvit.program import to_bytes
from bitvit.program.schema import AnyArray
from tests.support.tiny_file import tiny_file


def parts(data: bytes) -> tuple[dict[str, str], dict[str, AnyArray]]:
    """Metadata and tensors of a file, read without bitvit."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size])["__metadata__"], safetensors.numpy.load(data)


def sealed(metadata: dict[str, str], tensors: dict[str, AnyArray]) -> bytes:
    """A file with a right checksum over whatever it holds."""
    names = {"float32": "F32", "float64": "F64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8"}
    content = b"".join(f"{k}\0{metadata[k]}\0".encode() for k in sorted(metadata) if k != "checksum")
    for name in sorted(tensors):
        shape = ",".join(map(str, tensors[name].shape))
        content += f"{name}\0{names[str(tensors[name].dtype)]}\0{shape}\0".encode() + tensors[name].tobytes()
    return safetensors.numpy.save(tensors, metadata | {"checksum": "sha256:" + hashlib.sha256(content).hexdigest()})


def edited(**changes: Any) -> bytes:
    """The tiny file with metadata replaced (None: removed), and sealed again."""
    metadata, tensors = parts(to_bytes(tiny_file()))
    for key, content in changes.items():
        if content is None:
            del metadata[key]
        else:
            metadata[key] = content if isinstance(content, str) else json.dumps(content)
    return sealed(metadata, tensors)


def edited_json(key: str, change: Callable[[Any], object]) -> bytes:
    """The tiny file with one JSON entry changed in place."""
    content = json.loads(parts(to_bytes(tiny_file()))[0][key])
    change(content)
    return edited(**{key: content})

"""The metadata strings of a ``.bitvit`` file: strict JSON in both directions, and the checksum over all content."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from bitvit.program.errors import LabelsError, MetadataError, PreprocessingError
from bitvit.program.schema import AnyArray, BitvitFile, Op, Preprocessing, Program, Value
from bitvit.program.validation import TENSOR_DTYPES

METADATA_KEYS = frozenset({"format", "format_version", "program", "preprocessing", "labels", "provenance", "checksum"})


def dump(content: object) -> str:
    """JSON in one fixed form, so that equal content gives equal files."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    text.encode("utf-8")  # a ValueError for half surrogates
    return text


def parse(text: str, what: str) -> Any:
    """Strict JSON: no NaN or infinities, no repeated keys, no half surrogates, no bottomless nesting.

    Raises:
        MetadataError: the text is anything else.
    """
    try:
        content = json.loads(text, object_pairs_hook=_unique_object, parse_constant=_no_constant, parse_float=_finite)
        dump(content)
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        raise MetadataError(f"{what} is no valid JSON: {reason:.200}") from None
    return content


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text:.40} is not finite")
    return number


def program_to_json(program: Program) -> dict[str, Any]:
    """The JSON form of a Program."""
    return {
        "values": {name: {"type": value.type, "shape": list(value.shape)} for name, value in program.values.items()},
        "ops": [
            {
                "op": op.op,
                "in": list(op.inputs),
                "out": list(op.outputs),
                **({"attrs": dict(op.attrs)} if op.attrs else {}),
                **({"tensors": dict(op.tensors)} if op.tensors else {}),
            }
            for op in program.ops
        ],
        "input": program.input,
        "output": program.output,
    }


def program_from_json(content: Any) -> Program:
    """Inverse of `program_to_json`; checks the form, not the meaning."""
    fields = _object(content, "program", required=("values", "ops", "input", "output"))
    values = {}
    for name, item in _object(fields["values"], "program.values").items():
        value = _object(item, f"value {name!r:.80}", required=("type", "shape"))
        shape = tuple(_integer(size, f"the shape of value {name!r:.80}") for size in _list(value["shape"], "a shape"))
        values[name] = Value(_text(value["type"], "a value's type"), shape)  # type: ignore[arg-type]  # validate() checks it
    ops = []
    for i, item in enumerate(_list(fields["ops"], "program.ops")):
        where = f"operator {i}"
        op = _object(item, where, required=("op", "in", "out"), optional=("attrs", "tensors"))
        ops.append(
            Op(
                _text(op["op"], f"the kind of {where}"),
                tuple(_text(name, f"an input of {where}") for name in _list(op["in"], f"'in' of {where}")),
                tuple(_text(name, f"an output of {where}") for name in _list(op["out"], f"'out' of {where}")),
                _object(op.get("attrs", {}), f"'attrs' of {where}"),
                {
                    parameter: _text(name, f"a tensor of {where}")
                    for parameter, name in _object(op.get("tensors", {}), f"'tensors' of {where}").items()
                },
            )
        )
    return Program(values, ops, _text(fields["input"], "program.input"), _text(fields["output"], "program.output"))


def preprocessing_to_json(preprocessing: Preprocessing) -> dict[str, Any]:
    """The JSON form of a `Preprocessing`."""
    return {
        "image_size": list(preprocessing.image_size),
        "resize_size": preprocessing.resize_size,
        "interpolation": preprocessing.interpolation,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
    }


def preprocessing_from_json(content: Any) -> Preprocessing:
    """Inverse of `preprocessing_to_json`."""
    try:
        fields = _object(
            content, "preprocessing", required=("image_size", "resize_size", "interpolation", "mean", "std")
        )
        height, width = _exactly(fields["image_size"], 2, "image_size")
        return Preprocessing(
            (_integer(height, "image_size"), _integer(width, "image_size")),
            _integer(fields["resize_size"], "resize_size"),
            _text(fields["interpolation"], "interpolation"),  # type: ignore[arg-type]  # validate_file() checks it
            _three_numbers(fields["mean"], "mean"),
            _three_numbers(fields["std"], "std"),
        )
    except MetadataError as error:
        raise PreprocessingError(str(error)) from None


def labels_from_json(content: Any) -> list[str]:
    """The names of the classes."""
    if not isinstance(content, list) or not all(isinstance(label, str) for label in content):
        raise LabelsError("labels must be a list of texts")
    return list(content)


def to_metadata(file: BitvitFile) -> dict[str, str]:
    """All metadata strings but format, version and checksum.

    Raises:
        MetadataError: the provenance or an attribute cannot be expressed in JSON.
    """
    try:
        return {
            "program": dump(program_to_json(file.program)),
            "preprocessing": dump(preprocessing_to_json(file.preprocessing)),
            "labels": dump(file.labels),
            "provenance": dump(file.provenance),
        }
    except (TypeError, ValueError, RecursionError) as error:
        raise MetadataError(f"metadata cannot be expressed in JSON: {error!s:.200}") from None


def provenance_from_json(content: Any) -> dict[str, Any]:
    """Where the file comes from: any JSON object."""
    return _object(content, "provenance")


def checksum(metadata: Mapping[str, str], tensors: Mapping[str, AnyArray]) -> str:
    """SHA-256 over all metadata but the checksum itself, and all tensors, as ``docs/format.md`` writes it down."""
    digest = hashlib.sha256()
    for key in sorted(metadata):
        if key != "checksum":
            digest.update(f"{key}\0{metadata[key]}\0".encode())
    dtype_names = {dtype: name for name, dtype in TENSOR_DTYPES.items()}
    for name in sorted(tensors):
        tensor = tensors[name]
        shape = ",".join(str(size) for size in tensor.shape)
        digest.update(f"{name}\0{dtype_names[tensor.dtype]}\0{shape}\0".encode())
        digest.update(tensor.tobytes())
    return f"sha256:{digest.hexdigest()}"


def _object(
    content: Any, what: str, required: Iterable[str] | None = None, optional: Iterable[str] = ()
) -> dict[str, Any]:
    """A JSON object with exactly these keys (any keys where ``required`` is None)."""
    if not isinstance(content, dict):
        raise MetadataError(f"{what} must be a JSON object")
    if required is not None:
        required = tuple(required)
        for key in required:
            if key not in content:
                raise MetadataError(f"{what} lacks {key!r}")
        for key in content:
            if key not in required and key not in optional:
                raise MetadataError(f"{what} has the unknown key {key!r:.80}")
    return content


def _list(content: Any, what: str) -> list[Any]:
    if not isinstance(content, list):
        raise MetadataError(f"{what} must be a list")
    return content


def _exactly(content: Any, count: int, what: str) -> list[Any]:
    if len(_list(content, what)) != count:
        raise MetadataError(f"{what} must have {count} entries")
    return list(content)


def _text(content: Any, what: str) -> str:
    if not isinstance(content, str):
        raise MetadataError(f"{what} must be a text")
    return content


def _integer(content: Any, what: str) -> int:
    if isinstance(content, bool) or not isinstance(content, int):
        raise MetadataError(f"{what} must be made of integers")
    return content


def _three_numbers(content: Any, what: str) -> tuple[float, float, float]:
    numbers = _exactly(content, 3, what)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= 1e30:
            raise MetadataError(f"{what} must be three finite numbers")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])

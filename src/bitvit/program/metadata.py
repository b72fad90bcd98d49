"""The metadata strings of a ``.bitvit`` file: Python's objects to JSON, and back from JSON that has been checked."""

from __future__ import annotations

import json
from typing import Any

from bitvit.program.errors import MetadataError, PreprocessingError
from bitvit.program.schema import FORMAT_NAME, FORMAT_VERSION, BitvitFile, Op, Preprocessing, Program, Value

__all__ = ["dump", "preprocessing_from_json", "preprocessing_to_json", "program_from_json", "to_metadata"]


def dump(content: object) -> str:
    """JSON in one fixed form, so that equal content gives equal files."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    text.encode("utf-8")  # a ValueError for half surrogates
    return text


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


def program_from_json(text: str) -> Program:
    """Inverse of `program_to_json`."""
    content = json.loads(text)
    return Program(
        values={name: Value(value["type"], tuple(value["shape"])) for name, value in content["values"].items()},
        ops=[
            Op(op["op"], tuple(op["in"]), tuple(op["out"]), op.get("attrs", {}), op.get("tensors", {}))
            for op in content["ops"]
        ],
        input=content["input"],
        output=content["output"],
    )


def preprocessing_to_json(preprocessing: Preprocessing) -> dict[str, Any]:
    """The JSON form of a `Preprocessing`."""
    content: dict[str, Any] = {
        "image_size": list(preprocessing.image_size),
        "channels": preprocessing.channels,
        "fit": preprocessing.fit,
        "resize_size": preprocessing.resize_size,
        "interpolation": preprocessing.interpolation,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
    }
    if preprocessing.value_range is not None:
        content["value_range"] = list(preprocessing.value_range)
    return content


def preprocessing_from_json(text: str) -> Preprocessing:
    """Inverse of `preprocessing_to_json`."""
    content = json.loads(text)
    height, width = content["image_size"]
    low_high = content.get("value_range")
    return Preprocessing(
        image_size=(height, width),
        resize_size=content["resize_size"],
        interpolation=content["interpolation"],
        mean=tuple(float(number) for number in content["mean"]),
        std=tuple(float(number) for number in content["std"]),
        channels=content["channels"],
        fit=content["fit"],
        value_range=None if low_high is None else (float(low_high[0]), float(low_high[1])),
    )


def to_metadata(file: BitvitFile) -> dict[str, str]:
    """All metadata strings but the checksum.

    Raises:
        MetadataError: the provenance or an attribute cannot be expressed in JSON.
        PreprocessingError: the preprocessing cannot.
    """
    try:
        preprocessing = dump(preprocessing_to_json(file.preprocessing))
    except (TypeError, ValueError) as error:
        raise PreprocessingError(f"the preprocessing cannot be expressed in JSON: {error!s:.200}") from None
    try:
        metadata = {
            "format": FORMAT_NAME,
            "format_version": str(FORMAT_VERSION),
            "task": file.task,
            "program": dump(program_to_json(file.program)),
            "preprocessing": preprocessing,
            "labels": dump(file.labels),
            "provenance": dump(file.provenance),
        }
        if file.colors is not None:
            metadata["colors"] = dump([list(color) for color in file.colors])
        return metadata
    except (TypeError, ValueError, RecursionError) as error:
        raise MetadataError(f"metadata cannot be expressed in JSON: {error!s:.200}") from None

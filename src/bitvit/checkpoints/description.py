"""What a checkpoint says of its model, checked: the file may come from anybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bitvit.checkpoints.building import ModelSpec
from bitvit.checkpoints.errors import CheckpointError
from bitvit.tasks import task_names
from bitvit.text import printable

__all__ = ["check_description", "model_spec"]

_STAGES = ("float", "weights", "full")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**31


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(part) is int and 0 <= part < 256 for part in value)


_MODEL: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: isinstance(value, str),
    "num_classes": _is_count,
    "image_size": lambda value: value is None or _is_count(value),
    "scheme": lambda value: value is None or isinstance(value, str) or _is_mapping(value),
    "kwargs": _is_mapping,
}
_DESCRIPTION: dict[str, Callable[[Any], bool]] = {
    "model": _is_mapping,
    "stage": lambda value: isinstance(value, str) and value in _STAGES,
    "labels": _are_names,
    "preprocessing": _is_mapping,
    "task": lambda value: isinstance(value, str) and value in task_names(),
    "colors": lambda value: value is None or (isinstance(value, list) and all(_is_color(color) for color in value)),
    "recipe": _is_mapping,
    "metrics": _is_mapping,
}


def check_description(raw: dict[str, Any]) -> None:
    """Refuse a description with an entry of the wrong kind.

    Raises:
        CheckpointError: an entry is missing, or not what it should be.
    """
    _check(raw, _DESCRIPTION, "")
    model_spec(raw["model"])


def model_spec(raw: dict[str, Any]) -> ModelSpec:
    """Return how to build a model, from the JSON of `ModelSpec.to_dict`.

    Raises:
        CheckpointError: an entry is missing, not what it should be, or unknown.
    """
    _check(raw, _MODEL, "model.")
    for key in raw.keys() - _MODEL.keys():
        raise CheckpointError(f"its description of the model is damaged: model.{printable(key, 60)} is unknown")
    return ModelSpec(**raw)


def _check(raw: dict[str, Any], kinds: dict[str, Callable[[Any], bool]], where: str) -> None:
    for key, is_sound in kinds.items():
        if key not in raw:
            raise CheckpointError(f"its description of the model is damaged: it has no {where}{key}")
        if not is_sound(raw[key]):
            shown = printable(repr(raw[key]), 60)
            raise CheckpointError(f"its description of the model is damaged: {where}{key} is {shown}")

"""Strict reading of nested dataclasses from YAML and from `section.key=value`."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Hashable, Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeVar

import yaml

from bitvit.errors import UsageError
from bitvit.tasks import TaskSettings
from bitvit.training.errors import RecipeError

__all__ = ["apply_overrides", "from_mapping", "read_yaml"]

T = TypeVar("T")


class _Loader(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]
    """YAML's safe subset, where `5e-4` is a number (YAML 1.1 takes it for text) and a repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = next((key for key in keys if keys.count(key) > 1), None)
        if repeated is not None:
            raise yaml.MarkedYAMLError(problem=f"key '{repeated}' occurs twice", problem_mark=node.start_mark)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _parse(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)


def read_yaml(text: str, name: str) -> dict[str, Any]:
    """Return the mapping in a YAML text.

    Raises:
        RecipeError: if it is not YAML, or no mapping of names.
    """
    try:
        content = _parse(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise RecipeError(f"{name}{where}: not valid YAML ({getattr(error, 'problem', None) or error})") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise RecipeError(f"{name}: a recipe is a mapping of names to values")
    return content


def apply_overrides(content: Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Return `content` with values replaced.

    Args:
        content: nested plain values; it is not changed.
        overrides: `section.key=value` with the value in YAML, or a mapping of `section.key` to values.

    Raises:
        RecipeError: if an override is malformed. Whether its key exists shows when the result is parsed.
    """
    result: dict[str, Any] = deepcopy(dict(content))
    pairs = list(overrides.items()) if isinstance(overrides, Mapping) else [_split(override) for override in overrides]
    for key, value in pairs:
        *parents, last = key.split(".")
        target = result
        for depth, parent in enumerate(parents):
            inner = target.get(parent)
            if inner is None:
                inner = target[parent] = {}
            if not isinstance(inner, dict):
                raise RecipeError(f"{key}: '{'.'.join(parents[: depth + 1])}' is a value, not a section")
            target = inner
        target[last] = value
    return result


def _split(override: str) -> tuple[str, Any]:
    key, separator, text = override.partition("=")
    if not separator or not re.fullmatch(r"\w+(\.\w+)*", key.strip()):
        raise RecipeError(f"'{override}' does not have the form section.key=value")
    try:
        return key.strip(), _parse(text)
    except yaml.YAMLError:
        raise RecipeError(f"{key}: '{text}' is not a valid YAML value") from None


def key_of(name: str) -> str:
    """Return the key of a recipe that stands for a field: without the underscore behind a word that Python reserves."""
    return name.removesuffix("_")


def from_mapping(cls: type[T], content: Mapping[str, Any], prefix: str = "") -> T:
    """Return the dataclass `cls` (and those nested in it) with the values in `content`.

    What is left out keeps its default.

    Raises:
        RecipeError: if a key is unknown or a value has the wrong type; the message names the key.
    """
    hints = typing.get_type_hints(cls)
    fields = {key_of(entry.name): entry.name for entry in dataclasses.fields(cls)}  # type: ignore[arg-type]
    names = list(fields)
    values: dict[str, Any] = {}
    for key, value in content.items():
        if key not in names:
            close = difflib.get_close_matches(str(key), names, n=1)
            hint = f"did you mean '{prefix}{close[0]}'?" if close else f"known are {', '.join(names)}"
            raise RecipeError(f"unknown key '{prefix}{key}' ({hint})")
        values[fields[key]] = _convert(hints[fields[key]], value, f"{prefix}{key}")
    for entry in dataclasses.fields(cls):  # type: ignore[arg-type]
        is_required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        if is_required and entry.name not in values:
            raise RecipeError(f"{prefix}{key_of(entry.name)}: must be given")
    return cls(**values)


def _convert(hint: Any, value: Any, key: str) -> Any:
    """Return `value` as the type `hint`, or refuse it. Only whole numbers become floats, and lists tuples."""
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise RecipeError(f"{key}: is a section; set its keys, {key}.NAME=value")
        section = typing.cast("type[Any]", hint)
        if issubclass(section, TaskSettings):
            try:
                section = section.type_for(value)
            except UsageError as error:
                raise RecipeError(f"{key}.name: {error}") from None
        return from_mapping(section, value, f"{key}.")
    if hint is Any:
        return value
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if value is None and type(None) in options:
            return None
        sections = [option for option in options if dataclasses.is_dataclass(option)]
        if sections and isinstance(value, Mapping):
            return _convert(sections[0], value, key)
        lists = [option for option in options if typing.get_origin(option) is tuple]
        if isinstance(value, list) and len(lists) == 1:
            return _convert(lists[0], value, key)  # which says what is wrong with an entry
        for option in options:
            try:
                return _convert(option, value, key)
            except RecipeError:
                continue
    elif origin is typing.Literal:
        # A bare number in YAML may name an option, as in `precision: 32`.
        text = str(value) if type(value) is int else value
        if text in typing.get_args(hint):
            return text
    elif origin is tuple:
        parts = typing.get_args(hint)
        if isinstance(value, list | tuple) and parts[-1] is Ellipsis:
            return tuple(_convert(parts[0], entry, f"{key}[{i}]") for i, entry in enumerate(value))
        if isinstance(value, list | tuple) and len(value) == len(parts):
            return tuple(_convert(part, entry, key) for part, entry in zip(parts, value, strict=True))
    elif origin is dict or hint is dict:
        if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
            return dict(value)
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            if not math.isfinite(value):
                raise RecipeError(f"{key}: must be a finite number, not {value}")
            return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif isinstance(hint, type) and type(value) is hint:
        return value
    advice = ""
    if hint is str and not isinstance(value, Mapping | list):
        advice = ": YAML takes yes, no, on, off, null, numbers and dates for something else: put it in quotes"
    raise RecipeError(f"{key}: must be {_describe(hint)}, not {value!r}{advice}")


_PLURALS = {int: "integers", float: "numbers", str: "strings"}


def _describe(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return "a section"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(option) for option in typing.get_args(hint))
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    if origin is tuple:
        parts = typing.get_args(hint)
        return (
            "a list" if parts[-1] in (Any, Ellipsis) else f"a list of {len(parts)} {_PLURALS.get(parts[0], 'values')}"
        )
    if origin is dict:
        return "a mapping"
    names = {int: "an integer", float: "a number", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(hint, str(hint))

"""Integers beyond 64 bits: one verdict, under one name, wherever the same Program is checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitvit.program import BitvitFile, Interpreter, ProgramError, Value, read_bytes, to_bytes, validate_file
from bitvit.runtime import Engine, available_isas, run_op
from tests.support.engine_comparison import assert_same_bits, build, expected_outputs
from tests.support.operator_cases import OperatorCase
from tests.support.operator_homes import CASES, EDGES, operator_case
from tests.support.sealed_file import edited, parts
from tests.support.tiny_file import tiny_file

HUGE = (2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 10**30, 10**400, -(2**63), -(2**63) - 1, -(10**30), -(10**400))


def verdict(check: Callable[[], object]) -> tuple[type | None, str]:
    """The class of the error and its line, or None."""
    try:
        check()
    except ProgramError as error:
        return type(error), str(error)
    return None, ""


def numbers(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where the numbers are in attributes."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from numbers(item, (*path, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    if isinstance(value, dict):
        return value | {path[0]: replaced(value[path[0]], path[1:], by)}
    return [replaced(item, path[1:], by) if i == path[0] else item for i, item in enumerate(value)]


def assert_one_verdict(case: OperatorCase, what: str) -> None:
    interpreter = verdict(lambda: expected_outputs(case))
    for isa in available_isas():
        assert verdict(lambda isa=isa: build(case, 1, isa)) == interpreter, (what, isa)  # type: ignore[misc]
    if interpreter[0] is None:
        inputs = [np.ascontiguousarray(array)[None] for array in case.stored_inputs()]
        outputs = build(case, 1, "portable").run(inputs, 1)
        for found, expected in zip(outputs, expected_outputs(case), strict=True):
            if np.isfinite(expected).all():
                assert_same_bits(found[0], expected, what)
    else:
        assert "\n" not in interpreter[1] and len(interpreter[1]) < 500


@pytest.mark.parametrize("kind", sorted(CASES))
def test_attributes(kind: str) -> None:
    """Interpreter and engine, on every instruction set, agree on every number of every operator's attributes."""
    cases = [operator_case(kind, seed) for seed in range(3)]
    cases += [make(np.random.default_rng(0)) for name, make in EDGES.items() if name.startswith(kind)]
    for case in cases:
        for path in list(numbers(case.attrs))[:6]:
            for huge in HUGE:
                attrs = replaced(case.attrs, path, huge)
                assert_one_verdict(replace(case, attrs=attrs), f"{kind} {path}: {huge}")


def written(**entries: Any) -> bytes:
    """The tiny file with these entries of its metadata as JSON, not looked at by the writer."""
    return edited(**{key: json.dumps(entry) for key, entry in entries.items()})


@pytest.mark.parametrize("huge", HUGE)
def test_file_and_program(huge: int) -> None:
    """As a file, as a Program for the interpreter, and as one for the engine."""
    stored = json.loads(parts(to_bytes(tiny_file()))[0]["program"])
    for path in numbers(stored):
        changed = replaced(stored, path, huge)
        found = verdict(lambda changed=changed: read_bytes(written(program=changed)))  # type: ignore[misc]
        program = tiny_file().program
        if path[0] == "values":
            old = program.values[path[1]]
            program.values[path[1]] = Value(old.type, tuple(replaced(old.shape, path[3:], huge)))
        elif path[0] == "ops":
            program.ops[path[1]] = replace(program.ops[path[1]], attrs=changed["ops"][path[1]]["attrs"])
        tensors = tiny_file().tensors
        for check in (Interpreter, Engine):
            other = verdict(lambda check=check, program=program, tensors=tensors: check(program, tensors))  # type: ignore[misc]
            # A number beyond binary64 is no JSON of this format, so a file is refused earlier.
            assert other[0] is found[0] or abs(huge) > 10**308, (path, other, found)
            assert (other[0] is None) == (found[0] is None)


def test_preprocessing_and_colors() -> None:
    stored = json.loads(parts(to_bytes(tiny_file()))[0]["preprocessing"])
    for huge in HUGE:
        for path in numbers(stored):
            changed = replaced(stored, path, huge)
            kind, line = verdict(lambda changed=changed: read_bytes(written(preprocessing=changed)))  # type: ignore[misc]
            assert kind is not None or path[0] in ("mean", "std"), (path, huge)
            assert "\n" not in line
        assert verdict(lambda huge=huge: read_bytes(written(colors=[[huge, 0, 0]] * 3)))[0] is not None  # type: ignore[misc]


def test_shapes_of_a_single_operator() -> None:
    for huge in HUGE:
        value = Value("f32", (huge, 4))
        with pytest.raises(ProgramError):
            run_op("gelu", [np.zeros((1, 4), np.float32)], {}, {}, [value], [value])
        with pytest.raises(ProgramError):
            validate_file(with_value(value))


def with_value(value: Value) -> BitvitFile:
    file = tiny_file()
    file.program.values["x"] = value
    return file

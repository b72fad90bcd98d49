"""Whatever is asked of the engine, it answers with a named error or a result, never with a crash."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitvit import _core
from bitvit.errors import BitvitError
from bitvit.program import OPERATORS, Op, Program, Value, stored_shape
from bitvit.program.errors import (
    MissingTensorError,
    OperandError,
    SizeLimitError,
    UnknownOperatorError,
    ValueDefinitionError,
)
from bitvit.runtime import Engine, available_isas, run_op
from bitvit.runtime.engine import IsaError
from tests.support.operator_cases import OperatorCase
from tests.support.operator_homes import operator_case

KINDS = sorted(OPERATORS)
SIZES = st.sampled_from([-(1 << 62), -1, 0, 1, 2, 3, 7, 64, 65, 1 << 16, 1 << 24, (1 << 24) + 1, 1 << 31, 1 << 62])
JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    3,
    1 << 80,
    2.5,
    float("nan"),
    float("inf"),
    1e300,
    "x",
    [],
    [[]],
    ["greater", 1],
    [[1, 2]],
    {},
]


def _build(case: OperatorCase, isa: str = "") -> _core.Engine:
    builder = _core.ProgramBuilder()
    inputs = [builder.value(value.type, value.shape) for value in case.input_values]
    outputs = [builder.value(value.type, value.shape) for value in case.output_values]
    builder.op(case.kind, inputs, outputs, case.attrs, case.tensors)
    return builder.build(inputs, outputs, 1, isa)


def _attempt(case: OperatorCase) -> None:
    """Build and run: refused in one line, or the outputs that were declared."""
    with _refused_in_one_line():
        engine = _build(case)
        outputs = engine.run([np.ascontiguousarray(array)[None] for array in case.stored_inputs()])
        assert len(outputs) == len(case.output_values)
        for output, value in zip(outputs, case.output_values, strict=True):
            assert output.shape == (1, *stored_shape(value.type, value.shape))


@contextlib.contextmanager
def _refused_in_one_line() -> Iterator[None]:
    refusal = "none"
    try:
        yield
    except MemoryError:
        pass
    except BitvitError as error:
        refusal = str(error)
    assert len(refusal.splitlines()) == 1


@given(st.lists(SIZES, max_size=6), st.sampled_from(["u8", "f32", "sign", "mask", "ternary", "f64", ""]))
def test_any_value(shape: list[int], type: str) -> None:
    builder = _core.ProgramBuilder()
    valid = type in ("u8", "f32", "sign", "mask", "ternary") and 1 <= len(shape) <= 4
    valid = valid and all(1 <= n <= 1 << 24 for n in shape) and int(np.prod(shape, dtype=object)) <= 1 << 28
    if valid:
        assert builder.value(type, shape) == 0
    else:
        with pytest.raises((SizeLimitError, OperandError)):
            builder.value(type, shape)


@settings(max_examples=400)
@given(st.sampled_from(KINDS), st.integers(0, 40), st.data())
def test_an_operator_with_one_thing_wrong(kind: str, seed: int, data: st.DataObject) -> None:
    case = operator_case(kind, seed)
    case.tensors = {name: np.ascontiguousarray(tensor) for name, tensor in case.tensors.items()}
    place = data.draw(
        st.sampled_from(["input", "output", "attribute", "tensor type", "tensor shape", "tensor value", "count"])
    )
    if place in ("input", "output"):
        values = case.input_values if place == "input" else case.output_values
        if not values:
            return
        i = data.draw(st.integers(0, len(values) - 1))
        shape = list(values[i].shape)
        shape[data.draw(st.integers(0, len(shape) - 1))] = data.draw(st.integers(1, 70))
        values[i] = Value(data.draw(st.sampled_from(["u8", "f32", "sign", "mask", "ternary"])), tuple(shape))
        with _refused_in_one_line():
            _build(case)
        return
    if place == "attribute":
        name = data.draw(st.sampled_from([*case.attrs, "unknown"]))
        case.attrs = case.attrs | {name: data.draw(st.sampled_from(JUNK))}
    elif place == "count":
        case.input_values = case.input_values[: data.draw(st.integers(0, 3))]
        case.inputs = case.inputs[: len(case.input_values)]
    elif case.tensors:
        name = data.draw(st.sampled_from(sorted(case.tensors)))
        tensor = case.tensors[name]
        if place == "tensor type":
            dtype = data.draw(
                st.sampled_from([np.float32, np.float64, np.int8, np.int16, np.int32, np.uint8, np.bool_])
            )
            case.tensors[name] = np.zeros(tensor.shape, dtype)
        elif place == "tensor shape":
            axis = data.draw(st.integers(0, tensor.ndim - 1))
            shape = list(tensor.shape)
            shape[axis] = data.draw(st.integers(0, 70))
            case.tensors[name] = np.zeros(shape, tensor.dtype)
        else:
            changed = tensor.copy()
            extreme = np.iinfo(tensor.dtype) if tensor.dtype.kind in "iu" else np.finfo(np.float32)
            junk = [extreme.min, extreme.max, 0] + ([np.nan, np.inf] if tensor.dtype.kind == "f" else [])
            changed.flat[data.draw(st.integers(0, tensor.size - 1))] = data.draw(st.sampled_from(junk))
            case.tensors[name] = changed
    _attempt(case)


@settings(max_examples=100)
@given(st.sampled_from(KINDS), st.integers(0, 20), st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45]))
def test_floats_that_are_no_numbers(kind: str, seed: int, number: float) -> None:
    case = operator_case(kind, seed)
    case.tensors = {name: np.ascontiguousarray(tensor) for name, tensor in case.tensors.items()}
    answers = []
    for isa in available_isas():
        engine = _build(case, isa)
        inputs = [np.ascontiguousarray(array)[None].copy() for array in case.stored_inputs()]
        for array in inputs:
            if array.dtype == np.float32:
                array.flat[:: max(1, array.size // 3)] = number
        answers.append(engine.run(inputs))
    for answer in answers[1:]:  # NaN is NaN, whatever its bits
        for found, expected in zip(answer, answers[0], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_inputs_of_the_wrong_form() -> None:
    case = operator_case("add", 0)
    engine = _build(case)
    good = [np.ascontiguousarray(array)[None] for array in case.stored_inputs()]
    engine.run(good)
    for bad in (
        [good[0]],
        [*good, good[0]],
        [good[0], good[1][0]],
        [good[0], good[1].astype(np.float64)],
        [good[0], np.concatenate([good[1], good[1]])],
        [good[0], good[1][..., :-1].copy() if good[1].shape[-1] > 1 else np.zeros((1, 1, 2), np.float32)],
    ):
        with pytest.raises(OperandError):
            engine.run(bad)
    with pytest.raises(TypeError):  # never converted silently
        engine.run([good[0], np.asfortranarray(np.zeros((2, 3, 4), np.float32))[:, ::2]])


def test_order_of_operators() -> None:
    def builder() -> tuple[_core.ProgramBuilder, list[int]]:
        b = _core.ProgramBuilder()
        return b, [b.value("f32", [2, 3]) for _ in range(3)]

    b, v = builder()
    b.op("gelu", [v[1]], [v[2]], {}, {})
    with pytest.raises(ValueDefinitionError, match="read before it is written"):
        b.build([v[0]], [v[2]])
    b, v = builder()
    b.op("gelu", [v[0]], [v[1]], {}, {})
    b.op("gelu", [v[0]], [v[1]], {}, {})
    with pytest.raises(ValueDefinitionError, match="second time"):
        b.build([v[0]], [v[1]])
    b, v = builder()
    with pytest.raises(ValueDefinitionError):
        b.op("gelu", [99], [v[1]], {}, {})
    with pytest.raises(UnknownOperatorError):
        b.op("sin", [v[0]], [v[1]], {}, {})
    with pytest.raises(ValueDefinitionError):
        b.build([v[0]], [v[2]])
    with pytest.raises(ValueDefinitionError):
        b.build([v[0], v[0]], [v[0]])
    with pytest.raises(SizeLimitError):
        b.build([v[0]], [v[0]], threads=0)


def test_instruction_sets() -> None:
    case = operator_case("add", 0)
    assert available_isas()[0] == "portable"
    for isa in available_isas():
        assert _build(case, isa).isa == isa
    assert _build(case).isa == available_isas()[-1]
    with pytest.raises(IsaError, match="portable"):
        _build(case, "sse5")


def test_errors_that_users_see(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"image": Value("u8", (4, 4, 3)), "y": Value("f32", (1, 2))}
    ops = [Op("patch_conv_u8", ("image",), ("y",), {"patch": 4}, {"weight": "w", "scale": "m", "bias": "a"})]
    program = Program(values, ops, "image", "y")
    tensors = {"w": np.ones((2, 4, 4, 3), np.int8), "m": np.ones((2, 3), np.float32), "a": np.zeros(2, np.float32)}
    Engine(program, tensors)
    with pytest.raises(IsaError):
        Engine(program, tensors, isa="mmx")
    monkeypatch.setenv("BITVIT_ISA", "portable")
    assert Engine(program, tensors).isa == "portable"
    monkeypatch.setenv("BITVIT_ISA", "none")
    with pytest.raises(IsaError, match="none"):
        Engine(program, tensors)
    monkeypatch.delenv("BITVIT_ISA")
    with pytest.raises(MissingTensorError):
        Engine(program, {"w": tensors["w"], "m": tensors["m"]})
    with pytest.raises(OperandError):
        Engine(program, tensors).run(np.zeros((1, 5, 4, 3), np.uint8))
    with pytest.raises(ValueDefinitionError):
        Engine(program, tensors).values(np.zeros((1, 4, 4, 3), np.uint8), ["z"])


def test_run_op_notices_parameters_changed_in_place() -> None:
    x = np.ones((2, 3, 4), np.float32)
    scale, bias = np.full(4, 2, np.float32), np.zeros(4, np.float32)
    value = Value("f32", (3, 4))
    for factor in (2.0, 5.0):
        scale[:] = factor
        (y,) = run_op("affine", [x], {}, {"scale": scale, "bias": bias}, [value], [value])
        np.testing.assert_array_equal(y, factor * x)

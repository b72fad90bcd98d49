"""One operator through the NumPy interpreter and through the engine, compared to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bitvit import _core
from bitvit.program import run_operator, stored_shape, to_stored
from bitvit.program.schema import AnyArray
from tests.support.operator_cases import OperatorCase


def expected_outputs(case: OperatorCase) -> list[AnyArray]:
    """What the interpreter gives, in stored form."""
    results = run_operator(case.kind, case.inputs, case.input_values, case.output_values, case.attrs, case.tensors)
    return [to_stored(value.type, array) for value, array in zip(case.output_values, results, strict=True)]


def build(case: OperatorCase, threads: int, isa: str) -> _core.Engine:
    builder = _core.ProgramBuilder()
    inputs = [builder.value(value.type, value.shape) for value in case.input_values]
    outputs = [builder.value(value.type, value.shape) for value in case.output_values]
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in case.tensors.items()}
    builder.op(case.kind, inputs, outputs, case.attrs, tensors)
    return builder.build(inputs, outputs, threads, isa)


def assert_same_bits(found: AnyArray, expected: AnyArray, message: str) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape, (message, found.shape, expected.shape)
    if expected.dtype == np.float32:
        found, expected = found.view(np.uint32), expected.view(np.uint32)
    np.testing.assert_array_equal(found, expected, err_msg=message)


def check_case(case: OperatorCase, isas: Sequence[str], message: str) -> None:
    """The engine with 1 and 2 threads, on 1 and on 3 images that are alike."""
    expected = expected_outputs(case)
    for value, array in zip(case.output_values, expected, strict=True):
        assert array.shape == stored_shape(value.type, value.shape)
    inputs = [np.ascontiguousarray(array) for array in case.stored_inputs()]
    for isa in isas:
        for threads in (1, 2):
            engine = build(case, threads, isa)
            for batch in (1, 3):
                found = engine.run([np.stack([array] * batch) for array in inputs], batch)
                for i, array in enumerate(expected):
                    for image in range(batch):
                        where = f"{message}, {isa}, {threads} threads, image {image} of {batch}, output {i}"
                        assert_same_bits(found[i][image], array, where)

"""What an operator declares about its memory bounds what every instruction set really uses: the limits rest on it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest

from bitvit import _core
from bitvit.runtime import available_isas
from tests.support.engine_comparison import build
from tests.support.operator_cases import OperatorCase
from tests.support.operator_homes import CASES, EDGES, LARGE, operator_case

# Lines of cache that many small buffers are rounded up to, of parameters and of an engine itself.
ROUNDING = 4096


def cases(kind: str) -> Iterator[OperatorCase]:
    for seed in range(6):
        yield operator_case(kind, seed)
    for table in (EDGES, LARGE):
        for name, make in table.items():
            if name.startswith(kind):
                yield make(np.random.default_rng(1))


def declared(case: OperatorCase) -> tuple[int, int]:
    inputs, outputs = ([(v.type, v.shape) for v in values] for values in (case.input_values, case.output_values))
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in case.tensors.items()}
    return _core.operator_memory(case.kind, inputs, outputs, case.attrs, tensors)


@pytest.mark.parametrize("kind", sorted(CASES))
def test_no_instruction_set_needs_more_than_is_declared(kind: str) -> None:
    for case in cases(kind):
        parameters, scratch = declared(case)
        stored = sum(tensor.nbytes for tensor in case.tensors.values())
        for isa in available_isas():
            before = _core.live_bytes()
            engine = build(case, 1, isa)
            used = _core.live_bytes() - before
            where = f"{kind} {case.attrs} {[v.shape for v in case.input_values]} {isa}"
            assert used <= parameters + stored + ROUNDING, (where, used, parameters)
            assert engine.scratch_bytes(0) <= scratch + ROUNDING, (where, engine.scratch_bytes(0), scratch)
            assert engine.scratch_bytes(0, 8) <= scratch + ROUNDING, where


def test_live_bytes_are_given_back() -> None:
    gc.collect()
    before = _core.live_bytes()
    engine = build(operator_case("linear_f32", 0), 1, "portable")
    assert _core.live_bytes() > before
    del engine
    gc.collect()
    assert _core.live_bytes() == before

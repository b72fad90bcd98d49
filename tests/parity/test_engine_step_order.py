"""The engine moves element-wise operators next to each other: whatever the order of a program, its values are the same
to the bit, and times belong to the operators in the program's order."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import Interpreter, Op, Program, Value, to_stored
from bitvit.runtime import Engine, available_isas
from tests.support.engine_comparison import assert_same_bits
from tests.support.operator_cases import Rng, f32
from tests.support.random_programs import ProgramBuilder

SIDE, WIDTH = 6, 64
ROWS = SIDE * SIDE
FLOATS = Value("f32", (ROWS, WIDTH))


def add_random_operators(builder: ProgramBuilder, rng: Rng, n: int) -> None:
    """Element-wise operators, products and stencils of values chosen at random."""
    floats = [builder.pixels(WIDTH)]
    bits: list[str] = []

    def row() -> np.ndarray:
        return f32(rng, WIDTH) / np.float32(2)

    for _ in range(n):
        x = floats[int(rng.integers(max(0, len(floats) - 4), len(floats)))]
        kind = rng.choice(["affine", "rprelu", "add", "sign", "sign", "mask", "product", "stencil"])
        if kind == "affine":
            floats.append(builder.op("affine", [x], FLOATS, tensors={"scale": row(), "bias": row()}))
        elif kind == "rprelu":
            tensors = {"before": row(), "slope": row(), "after": row()}
            floats.append(builder.op("rprelu", [x], FLOATS, tensors=tensors))
        elif kind == "add" and len(floats) > 1:
            other = floats[int(rng.integers(len(floats)))]
            floats.append(builder.op("add", [x, other], FLOATS))
        elif kind in ("sign", "mask"):
            bits.append(builder.op(kind, [x], Value(kind, (ROWS, WIDTH)), tensors={"threshold": row()}))
        elif kind == "product" and bits:
            floats.append(builder.linear(bits.pop(), WIDTH))
        elif kind == "stencil":
            attrs = {"grid": [SIDE, SIDE], "groups": [[[0, 0], [0, 1]]], "wrap": False, "divisor": 2}
            floats.append(builder.op("stencil", [x], FLOATS, attrs=attrs))


def shuffled(program: Program, rng: Rng) -> list[Op]:
    """The operators in another order in which each value is written before it is read."""
    written, left, order = {program.input}, list(program.ops), []
    while left:
        ready = [op for op in left if written.issuperset(op.inputs)]
        op = ready[int(rng.integers(len(ready)))]
        left.remove(op)
        written.update(op.outputs)
        order.append(op)
    return order


@pytest.mark.parametrize("seed", range(12))
def test_the_order_of_a_program_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder(rng, (SIDE, SIDE))
    add_random_operators(builder, rng, 30)
    program = builder.program
    program.output = builder.op("mean_rows", [builder.pixels(WIDTH)], Value("f32", (1, WIDTH)))
    program.ops = shuffled(program, rng)
    images = rng.integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8)
    expected = Interpreter(program, builder.tensors).values(images[0])
    names = [op.outputs[0] for op in program.ops]
    for isa in available_isas():
        for asked in (names, [name for name in names if rng.integers(4) == 0]):
            for threads in (1, 2):
                found = Engine(program, builder.tensors, threads=threads, isa=isa).values(images, asked)
                for name in asked:
                    array = to_stored(program.values[name].type, expected[name])
                    assert_same_bits(found[name][0], array, f"{isa}, {threads} threads, {name}")
    profile = Engine(program, builder.tensors, threads=1).profile(images, 1)
    assert [entry["outputs"] for entry in profile] == [list(op.outputs) for op in program.ops]

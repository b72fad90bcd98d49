"""Every chain of element-wise operators that the engine compiles gives the interpreter's values to the bit.

The cases are the list that the engine compiles, cpp/kernels/pointwise/chains.inc, and a chain that is on no list.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bitvit.program import Interpreter, Value, to_stored
from bitvit.runtime import Engine, available_isas
from tests.support.engine_comparison import assert_same_bits
from tests.support.operator_cases import f32
from tests.support.random_programs import ProgramBuilder

LIST = Path(__file__).parents[2] / "cpp/kernels/pointwise/chains.inc"
CHAINS = re.findall(r"^BITVIT_CHAIN\((.*)\)$", LIST.read_text(), re.MULTILINE)
UNLISTED = "kRprelu, kAffine, kRprelu, kAdd, kMask"

KINDS = {
    "kAdd": "add",
    "kAddRow": "add_constant",
    "kAffine": "affine",
    "kRprelu": "rprelu",
    "kSign": "sign",
    "kMask": "mask",
}
PARAMETERS = {
    "kAdd": (),
    "kAddRow": ("value",),
    "kAffine": ("scale", "bias"),
    "kRprelu": ("before", "slope", "after"),
    "kSign": ("threshold",),
    "kMask": ("threshold",),
}


@pytest.mark.parametrize("chain", [*CHAINS, UNLISTED])
@pytest.mark.parametrize(("side", "width", "seed"), [(5, 64, 1), (9, 192, 2), (6, 128, 3)])
def test_chain(chain: str, side: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_rows = side * side  # not always a multiple of the rows that kernels take at a time
    builder = ProgramBuilder(rng, (side, side))
    wide = Value("f32", (n_rows, width))

    others = [
        builder.pixels(width),
        builder.op("repeat_channels", [builder.pixels(64)], wide, attrs={"times": width // 64}),
    ]
    running, asked = builder.pixels(width), []
    for i, kind in enumerate(chain.split(", ")):
        inputs = [running]
        if kind == "kAdd":  # in either order; what is repeated is read once
            inputs.insert(int(rng.integers(2)), others.pop() if len(others) > 1 else others[0])
        output = Value(KINDS[kind], (n_rows, width)) if kind in ("kSign", "kMask") else wide  # type: ignore[arg-type]
        tensors = {name: f32(rng, width) / np.float32(2) for name in PARAMETERS[kind]}
        running = builder.op(KINDS[kind], inputs, output, tensors=tensors)
        if i == chain.count(", ") or rng.integers(3) == 0:
            asked.append(running)  # and therefore has to be written
    program = builder.program
    program.output = builder.op("mean_rows", [others[0]], Value("f32", (1, width)))
    images = rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    expected = Interpreter(program, builder.tensors).values(images[0])
    for isa in available_isas():
        found = Engine(program, builder.tensors, threads=1, isa=isa).values(images, asked)
        for name in asked:
            array = to_stored(program.values[name].type, expected[name])
            assert_same_bits(found[name][0], array, f"{chain}, {isa}, {name}")

"""Operators that do the work of those behind them as well give the interpreter's values to the bit.

These are products with the sum, RPReLU, sign and means of a pyramid's MLP, and stencils with an affine and a sum,
or with all other stencils of a sum.
"""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import Interpreter, Value, to_stored
from bitvit.runtime import Engine, available_isas
from tests.support.engine_comparison import assert_same_bits
from tests.support.operator_cases import f32, weight_bits
from tests.support.random_programs import ProgramBuilder

# side of the grid, inputs, channels that repeat, times they do, channels of a mean
SIZES = [
    (9, 64, 64, 8, 8),  # as in the stages of BHViT-S and BinaryViT-S
    (6, 128, 128, 8, 8),
    (5, 256, 256, 4, 4),
    (4, 512, 512, 4, 4),
    (7, 200, 64, 4, 4),  # inputs that fill no whole word
    (7, 1000, 128, 2, 4),
    (5, 96, 128, 4, 8),  # more channels than sixteen means need
    (5, 64, 64, 6, 8),  # and shapes without a kernel of their own
    (5, 64, 64, 2, 2),
    (5, 64, 48, 4, 4),
]
ASKED_IN_BETWEEN = (5, 64, 64, 8, 8)  # a value that has to be written


@pytest.mark.parametrize("size", [*SIZES, ASKED_IN_BETWEEN])
def test_expansion(size: tuple[int, int, int, int, int]) -> None:
    side, n_inputs, width, times, group = size
    rng = np.random.default_rng(sum(size))
    n_rows, n_outputs = side * side, width * times
    builder = ProgramBuilder(rng, (side, side))
    wide = Value("f32", (n_rows, n_outputs))

    def parameters(channels: int, *names: str) -> dict[str, np.ndarray]:
        return {name: f32(rng, channels) / np.float32(2) for name in names}

    other = builder.pixels(width)
    bit_rows = Value("sign", (n_rows, n_inputs))
    bits = builder.op("sign", [builder.pixels(n_inputs)], bit_rows, tensors=parameters(n_inputs, "threshold"))
    weight = {"weight": weight_bits(rng, n_outputs, n_inputs), **parameters(n_outputs, "scale", "bias")}
    product = builder.op("binary_linear", [bits], wide, tensors=weight)
    repeated = builder.op("repeat_channels", [other], wide, attrs={"times": times})
    total = builder.op("add", [product, repeated], wide)
    active = builder.op("rprelu", [total], wide, tensors=parameters(n_outputs, "before", "slope", "after"))
    signs = builder.op("sign", [active], Value("sign", (n_rows, n_outputs)), tensors=parameters(n_outputs, "threshold"))
    means = builder.op("mean_channels", [active], Value("f32", (n_rows, n_outputs // group)), attrs={"group": group})
    is_one = size in SIZES[:7]
    asked = [signs, means] + ([active] if size == ASKED_IN_BETWEEN else [])
    program = builder.program
    program.output = builder.op("mean_rows", [means], Value("f32", (1, n_outputs // group)))
    images = rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    expected = Interpreter(program, builder.tensors).values(images[0])
    for isa in available_isas():
        for threads in (1, 2):
            found = Engine(program, builder.tensors, threads=threads, isa=isa).values(images, asked)
            for name in asked:
                array = to_stored(program.values[name].type, expected[name])
                assert_same_bits(found[name][0], array, f"{size}, {isa}, {threads} threads, {name}")
    if "avx512" in available_isas() and is_one:  # there, what the product does takes no time of its own
        engine = Engine(program, builder.tensors, threads=1, isa="avx512")
        taken = [entry for entry in engine.profile(images, 1) if entry["op"] in ("rprelu", "mean_channels")]
        assert [entry["milliseconds"] for entry in taken] == [0, 0]


CROSS = [[0, 0], [-1, 0], [1, 0], [0, -2], [0, 2]]
SHIFTS = [[[-1, 0]], [[1, 0]], [[0, -1]], [[0, 1]]]


def image_as_floats(builder: ProgramBuilder, rng: np.random.Generator, value: Value, exponent: int) -> str:
    """A value that is the image's pixels times random numbers of about ``2 ** exponent``."""
    channels = value.shape[1]
    tensors = {
        "weight": rng.integers(-128, 128, (channels, 1, 1, 3), dtype=np.int8),
        "scale": np.ldexp(f32(rng, channels, 3), exponent).astype(np.float32),
        "bias": np.zeros(channels, np.float32),
    }
    return builder.op("patch_conv_u8", ["image"], value, attrs={"patch": 1}, tensors=tensors)


@pytest.mark.parametrize("behind", ["affine", "affine, add", "add, affine", "affine, affine", "affine, add itself"])
@pytest.mark.parametrize("exponent", [0, -130, 110])  # also subnormal, or far from 1
@pytest.mark.parametrize(
    ("groups", "divisor", "wrap"), [([CROSS[:3]], 3, True), ([CROSS], 5, False), (SHIFTS, 1, True)]
)
def test_stencil(groups: list[list[list[int]]], divisor: int, wrap: bool, exponent: int, behind: str) -> None:
    rng = np.random.default_rng(len(behind) + divisor)
    side, width = 7, 64 if divisor == 5 else 40
    builder = ProgramBuilder(rng, (side, side))
    value = Value("f32", (side * side, width))
    x = image_as_floats(builder, rng, value, exponent)
    other = builder.rows("rprelu", x, "before", "slope", "after")
    attrs = {"grid": [side, side], "groups": groups, "wrap": wrap, "divisor": divisor}
    running, asked = builder.op("stencil", [x], value, attrs=attrs), []
    for kind in behind.split(", "):
        if kind == "affine":
            running = builder.rows("affine", running, "scale", "bias")
        elif kind == "add":
            running = builder.op("add", [other, running], value)
        else:
            running = builder.op("add", [running, running], value)
    asked = [running]
    builder.program.output = builder.op("mean_rows", [running], Value("f32", (1, width)))
    image = rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    image[:, :3] = 0  # sums of zeros, of either sign
    with np.errstate(all="ignore"):
        expected = Interpreter(builder.program, builder.tensors).values(image[0])
    for isa in available_isas():
        found = Engine(builder.program, builder.tensors, threads=1, isa=isa).values(image, asked)
        for name in asked:
            assert_same_bits(found[name][0], expected[name], f"{behind}, {isa}")


UP, DOWN, LEFT, RIGHT, HERE = [-1, 0], [1, 0], [0, -1], [0, 1], [0, 0]
UP2, DOWN2, LEFT2, RIGHT2 = [-2, 0], [2, 0], [0, -2], [0, 2]
# groups of taps and their divisor, and how many sums follow
SHIFTED_BRANCHES = [
    ([[HERE, UP, DOWN]], 3, 0),
    ([[HERE, LEFT, RIGHT]], 3, 1),
    ([[UP], [DOWN], [LEFT], [RIGHT]], 1, 1),
    ([[HERE, UP, DOWN, UP2, DOWN2]], 5, 0),
    ([[HERE, LEFT, RIGHT, LEFT2, RIGHT2]], 5, 1),
    ([[UP2], [DOWN2], [LEFT2], [RIGHT2]], 1, 2),
]
POOLED_BRANCHES = [
    ([[UP, HERE, DOWN]], 3, 0),
    ([[LEFT, HERE, RIGHT]], 3, 1),
    ([[UP2, UP, HERE, DOWN, DOWN2]], 5, 0),
    ([[LEFT2, LEFT, HERE, RIGHT, RIGHT2]], 5, 2),
]
OTHER_ORDER = [
    (*POOLED_BRANCHES[1][:2], 0),
    (*POOLED_BRANCHES[0][:2], 1),
    *POOLED_BRANCHES[2:],
]  # no kernel of its own
ONE_MORE = [*POOLED_BRANCHES[:3], (*POOLED_BRANCHES[3][:2], 1), ([[HERE]], 1, 2)]


@pytest.mark.parametrize("exponent", [0, -118, 110])  # also sums that no quotient by multiplication is exact for
@pytest.mark.parametrize(("height", "width", "channels"), [(9, 7, 64), (4, 4, 128), (3, 19, 192), (17, 1, 64)])
@pytest.mark.parametrize("wrap", [True, False])
@pytest.mark.parametrize(
    ("branches", "is_one"),
    [(SHIFTED_BRANCHES, True), (POOLED_BRANCHES, True), (OTHER_ORDER, False), (ONE_MORE, False)],
)
def test_sum_of_stencils(
    branches: list[tuple[list[list[list[int]]], int, int]],
    is_one: bool,
    wrap: bool,
    height: int,
    width: int,
    channels: int,
    exponent: int,
) -> None:
    rng = np.random.default_rng(height)
    builder = ProgramBuilder(rng, (height, width))
    value = Value("f32", (height * width, channels))
    x = image_as_floats(builder, rng, value, exponent)
    results: list[str] = []
    for groups, divisor, n_sums in branches:
        attrs = {"grid": [height, width], "groups": groups, "wrap": wrap, "divisor": divisor}
        y = builder.op("stencil", [x], value, attrs=attrs)
        # The sums of tiny numbers are seen at the end too.
        scale = {"scale": np.ldexp(f32(rng, channels), -exponent).astype(np.float32), "bias": f32(rng, channels)}
        results.append(builder.op("affine", [y], value, tensors=scale))
        for _ in range(n_sums):
            second = results.pop()
            results.append(builder.op("add", [results.pop(), second], value))
    builder.program.output = builder.op("mean_rows", results, Value("f32", (1, channels)))
    image = rng.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    image[:, :2] = 0  # sums of zeros, of either sign
    with np.errstate(all="ignore"):
        expected = Interpreter(builder.program, builder.tensors).values(image[0])
    for isa in available_isas():
        for threads in (1, 2):
            engine = Engine(builder.program, builder.tensors, threads=threads, isa=isa)
            found = engine.values(image, results)
            assert_same_bits(found[results[0]][0], expected[results[0]], f"{isa}, {threads} threads")
            taken = [entry["milliseconds"] == 0 for entry in engine.profile(image, 1) if entry["op"] == "stencil"]
            assert all(taken[1:]) == is_one


@pytest.mark.parametrize("behind", ["layer_norm", "rprelu"])  # a chain keeps its first sum
@pytest.mark.parametrize("kind", ["sign", "mask"])
@pytest.mark.parametrize(("n_rows", "n_inputs", "n_outputs"), [(24, 384, 384), (198, 1536, 384), (17, 100, 41)])
def test_sum_with_a_product(n_rows: int, n_inputs: int, n_outputs: int, kind: str, behind: str) -> None:
    rng = np.random.default_rng(n_inputs)
    builder = ProgramBuilder(rng, (n_rows, 1))
    value = Value("f32", (n_rows, n_outputs))
    running = builder.pixels(n_outputs)
    results = []
    for is_first in (True, False):
        x = builder.pixels(n_inputs)
        threshold = {"threshold": f32(rng, n_inputs)}
        bits = builder.op(kind, [x], Value(kind, (n_rows, n_inputs)), tensors=threshold)
        product = builder.linear(bits, n_outputs)
        summands = [running, product] if is_first else [product, running]
        running = builder.op("add", summands, value)
        results.append(running)
        if behind == "rprelu":
            running = builder.rows("rprelu", running, "before", "slope", "after")
        else:
            results.append(builder.rows("layer_norm", running, "weight", "bias", attrs={"eps": 1e-6}))
    builder.program.output = builder.op("mean_rows", [running], Value("f32", (1, n_outputs)))
    image = rng.integers(0, 256, (1, n_rows, 1, 3), dtype=np.uint8)
    expected = Interpreter(builder.program, builder.tensors).values(image[0])
    for isa in available_isas():
        for threads in (1, 2):
            engine = Engine(builder.program, builder.tensors, threads=threads, isa=isa)
            found = engine.values(image, results)
            for name in results:
                assert_same_bits(found[name][0], expected[name], f"{isa}, {threads} threads, {name}")
            taken = [entry["milliseconds"] == 0 for entry in engine.profile(image, 1) if entry["op"] == "add"]
            assert taken == [behind == "layer_norm" and n_outputs % 64 == 0] * 2

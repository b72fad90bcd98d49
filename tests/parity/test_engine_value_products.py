"""Products of attention and ternary planes as networks have them, the first plane being one of signs: from hardly any
key with a value beyond the limits to all of them, and from few keys to hundreds."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import Interpreter, Value
from bitvit.runtime import Engine, available_isas
from tests.support.engine_comparison import assert_same_bits
from tests.support.operator_cases import exponential_table, f32, positive
from tests.support.random_programs import ProgramBuilder

MASKS = {
    "of the paper": [["greater"], ["row_max", 0.7], ["row_max", 0.9]],
    "one": [["greater"]],
    "full and empty": [["ones"], ["greater"], ["row_max", 2.0]],
}


def builder_of(image: tuple[int, int], heads: int, width: int, factors: list[float], masks: str) -> ProgramBuilder:
    """Attention with as many keys as the image has pixels."""
    rng = np.random.default_rng(image[0] * width + len(factors))
    builder = ProgramBuilder(rng, image)
    n, channels = image[0] * image[1], heads * width
    queries, keys = (
        builder.op(
            "sign",
            [builder.pixels(channels)],
            Value("sign", (n, heads, width)),
            tensors={"threshold": f32(rng, channels) / np.float32(4)},
        )
        for _ in "qk"
    )
    rules = MASKS[masks]
    tensors = {"table": exponential_table(rng, width)}
    if ["greater"] in rules:
        tensors["thresholds"] = positive(rng, len(rules), heads) / np.float32(n)
    attention = builder.op(
        "attention_masks",
        [queries, keys],
        Value("mask", (len(rules), heads, n, n)),
        attrs={"planes": rules},
        tensors=tensors,
    )
    values = builder.op(
        "value_planes",
        [builder.pixels(channels)],
        Value("ternary", (len(factors) + 1, heads, width, n)),
        attrs={"factors": factors},
    )
    scales = {"row_scale": f32(rng, len(rules), heads), "column_scale": f32(rng, len(factors) + 1)}
    product = builder.op("value_product", [attention, values], Value("f32", (n, channels)), tensors=scales)
    builder.program.output = builder.op("mean_rows", [product], Value("f32", (1, channels)))
    return builder


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("factors", [[], [0.7, 0.9], [0.1, 0.5], [0.0]], ids=str)
@pytest.mark.parametrize(
    ("image", "width"),
    [
        ((1, 3), 64),
        ((3, 6), 32),
        ((7, 7), 64),
        ((8, 8), 24),
        ((5, 13), 64),
        ((11, 18), 64),
        ((11, 18), 48),
        ((4, 7), 80),
    ],
    ids=str,
)
def test_values(image: tuple[int, int], width: int, factors: list[float], masks: str) -> None:
    builder = builder_of(image, 2, width, factors, masks)
    images = builder.rng.integers(0, 256, (1, *image, 3), dtype=np.uint8)
    images[0, 0, 0] = (255, 0, 255)  # one pixel that is far from the others
    product = builder.program.ops[-2].outputs[0]
    expected = Interpreter(builder.program, builder.tensors).values(images[0])[product]
    for isa in available_isas():
        for threads in (1, 2):
            engine = Engine(builder.program, builder.tensors, threads=threads, isa=isa)
            assert_same_bits(engine.values(images, [product])[product][0], expected, f"{isa}, {threads} threads")

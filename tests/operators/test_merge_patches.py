"""merge_patches: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from collections.abc import Callable

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.loops import empty
from tests.support.operator_cases import (
    OperatorCase,
    Rng,
    bits,
    one_value,
    random_channels,
    random_grid,
    rows_case,
    rows_of,
)


def case_merge_patches(rng: Rng) -> OperatorCase:
    patch, (rows, columns), c = int(rng.integers(1, 4)), random_grid(rng), random_channels(rng)
    type = str(rng.choice(["f32", "sign"]))
    n = rows * columns
    attrs = {"grid": [rows * patch, columns * patch], "patch": patch}
    return one_value("merge_patches", rows_of(rng, type, n * patch**2, c), type, (n, c * patch**2), attrs)


def loop_merge_patches(c: OperatorCase) -> list[AnyArray]:
    (x,), (_, w), patch, out = c.inputs, c.attrs["grid"], c.attrs["patch"], empty(c)
    for n in range(len(out)):
        y, column = divmod(n, w // patch)
        cells = [(y * patch + dy, column * patch + dx) for dy in range(patch) for dx in range(patch)]
        out[n] = [value for row, place in cells for value in x[row * w + place]]
    return [out]


def merge_case(rng: Rng, grid: tuple[int, int], channels: int, patch: int) -> OperatorCase:
    x = bits(rng, grid[0] * grid[1], channels)
    output = Value("sign", (len(x) // patch**2, channels * patch**2))
    attrs = {"grid": list(grid), "patch": patch}
    return OperatorCase("merge_patches", [x], [Value("sign", x.shape)], [output], attrs)


EDGES: dict[str, Callable[[Rng], OperatorCase]] = {
    "merging bits across words": lambda rng: merge_case(rng, (4, 6), 37, 2),
    "merging bits of whole words": lambda rng: merge_case(rng, (4, 4), 128, 2),
    "merging single bits": lambda rng: merge_case(rng, (9, 9), 1, 9),
    "merging the whole grid": lambda rng: merge_case(rng, (3, 3), 65, 3),
}


REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "patches that do not fit": (
        "OperatorAttributeError",
        rows_case("merge_patches", (12, 4), (3, 16), grid=[3, 4], patch=2),
    ),
}

"""pool: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import one_channel
from tests.support.loops import F, empty, in_order
from tests.support.operator_cases import OperatorCase, Rng, changed, f32, one_value, random_channels, random_grid


def case_pool(rng: Rng) -> OperatorCase:
    (h, w), c = random_grid(rng), random_channels(rng)
    while True:
        kernel, stride = int(rng.integers(1, 8)), int(rng.integers(1, 8))
        padding = int(rng.integers(0, kernel // 2 + 1))
        out = [(n + 2 * padding - kernel) // stride + 1 for n in (h, w)]
        if min(out) >= 1:
            break
    kind = str(rng.choice(["average", "max"]))
    attrs = {"grid": [h, w], "kind": kind, "kernel": kernel, "stride": stride, "padding": padding}
    return one_value("pool", f32(rng, h * w, c), "f32", (out[0] * out[1], c), attrs)


def loop_pool(c: OperatorCase) -> list[AnyArray]:
    (x,), (h, w), out = c.inputs, c.attrs["grid"], empty(c)
    kernel, stride, padding = (c.attrs[name] for name in ("kernel", "stride", "padding"))
    columns = (w + 2 * padding - kernel) // stride + 1
    for n, channel in np.ndindex(*out.shape):
        top, left = n // columns * stride - padding, n % columns * stride - padding
        cells = [(y, z) for y in range(top, top + kernel) for z in range(left, left + kernel)]
        values = [x[y * w + z, channel] for y, z in cells if 0 <= y < h and 0 <= z < w]
        if c.attrs["kind"] == "average":
            out[n, channel] = in_order(values) / F(kernel * kernel)
        else:
            out[n, channel] = max(values)  # Python's max keeps the first of equals
    return [out]


def pool_case(
    rng: Rng, grid: tuple[int, int], channels: int, kind: str, kernel: int, stride: int, padding: int
) -> OperatorCase:
    shape = (grid[0] * grid[1], channels)
    h, w = ((n + 2 * padding - kernel) // stride + 1 for n in grid)
    attrs = {"grid": list(grid), "kind": kind, "kernel": kernel, "stride": stride, "padding": padding}
    return OperatorCase("pool", [f32(rng, *shape)], [Value("f32", shape)], [Value("f32", (h * w, channels))], attrs)


EDGES: dict[str, Callable[[Rng], OperatorCase]] = {
    "pool of the whole grid": lambda rng: pool_case(rng, (8, 8), 31, "average", 8, 8, 0),
    "pool beyond both edges": lambda rng: pool_case(rng, (2, 2), 16, "max", 3, 1, 1),
    "pool of one cell": lambda rng: pool_case(rng, (1, 1), 3, "average", 2, 1, 1),
    "pool leaving cells out": lambda rng: pool_case(rng, (9, 7), 40, "max", 2, 5, 0),
    "pool of windows with padding": lambda rng: pool_case(rng, (14, 14), 64, "average", 7, 7, 3),
}


def valid_pool(**changes: Any) -> OperatorCase:
    return changed(pool_case(np.random.default_rng(0), (4, 4), 8, "max", 2, 2, 0), **changes)


REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "unknown kind of pool": ("OperatorAttributeError", valid_pool(kind="median")),
    "kind as a number": ("OperatorAttributeError", valid_pool(kind=1)),
    "kernel larger than the padded grid": ("OperatorAttributeError", valid_pool(kernel=7, padding=1)),
    "padding beyond half the kernel": ("OperatorAttributeError", valid_pool(padding=2)),
    "pool of another shape": ("OperandError", valid_pool(stride=1)),
}


def test_average_pool_divides_by_the_kernel_even_at_the_edge() -> None:
    attrs = {"grid": [2, 2], "kind": "average", "kernel": 3, "stride": 1, "padding": 1}
    assert one_channel("pool", [9, 18, 27, 36], attrs, 4) == [10, 10, 10, 10]


def test_max_pool_ignores_what_is_outside() -> None:
    attrs = {"grid": [2, 2], "kind": "max", "kernel": 3, "stride": 2, "padding": 1}
    assert one_channel("pool", [-4, -3, -2, -1], attrs, 1) == [-1]


LARGE: dict[str, Callable[[Rng], OperatorCase]] = {
    "BinaryViT-S, reduction": lambda rng: pool_case(rng, (56, 56), 64, "average", 8, 8, 0)
}

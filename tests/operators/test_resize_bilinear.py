"""resize_bilinear: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import one_channel
from tests.support.loops import ONE, F, empty
from tests.support.operator_cases import OperatorCase, Rng, changed, f32, random_channels, random_grid


def resize_case(rng: Rng, grid: tuple[int, int], size: tuple[int, int], channels: int) -> OperatorCase:
    shape = (grid[0] * grid[1], channels)
    attrs = {"grid": list(grid), "size": list(size)}
    output = Value("f32", (size[0] * size[1], channels))
    return OperatorCase("resize_bilinear", [f32(rng, *shape)], [Value("f32", shape)], [output], attrs)


def case_resize_bilinear(rng: Rng) -> OperatorCase:
    size = int(rng.integers(1, 20)), int(rng.integers(1, 20))
    return resize_case(rng, random_grid(rng), size, random_channels(rng))


def between(i: int, n_in: int, n_out: int) -> tuple[int, int, np.float32, np.float32]:
    """The two places that place i lies between, and their weights."""
    place = max(Fraction(2 * i + 1, 2) * Fraction(n_in, n_out) - Fraction(1, 2), Fraction(0))
    first = min(int(place), n_in - 1)
    weight = F((place - first) * 2 * n_out) / F(2 * n_out)
    return first, min(first + 1, n_in - 1), ONE - weight, weight


def loop_resize_bilinear(c: OperatorCase) -> list[AnyArray]:
    (x,), (h, w), (height, width), out = c.inputs, c.attrs["grid"], c.attrs["size"], empty(c)
    for n, channel in np.ndindex(*out.shape):
        top, bottom, up, down = between(n // width, h, height)
        left, right, west, east = between(n % width, w, width)
        above = x[top * w + left, channel] * west + x[top * w + right, channel] * east
        below = x[bottom * w + left, channel] * west + x[bottom * w + right, channel] * east
        out[n, channel] = above * up + below * down
    return [out]


EDGES: dict[str, Callable[[Rng], OperatorCase]] = {
    "one cell": lambda rng: resize_case(rng, (1, 1), (5, 3), 19),
    "to one cell": lambda rng: resize_case(rng, (6, 7), (1, 1), 4),
    "the same size": lambda rng: resize_case(rng, (4, 5), (4, 5), 16),
    "four times": lambda rng: resize_case(rng, (3, 4), (12, 16), 21),
    "wide and flat": lambda rng: resize_case(rng, (9, 2), (3, 11), 33),
}
LARGE: dict[str, Callable[[Rng], OperatorCase]] = {
    "a map of classes": lambda rng: resize_case(rng, (28, 28), (112, 112), 21)
}


def valid_resize(**changes: object) -> OperatorCase:
    return changed(resize_case(np.random.default_rng(0), (2, 3), (4, 6), 2), **changes)


REFUSED: dict[str, tuple[str, OperatorCase]] = {
    "size of one number": ("OperatorAttributeError", valid_resize(size=[4])),
    "size of floats": ("OperatorAttributeError", valid_resize(size=[4.0, 6.0])),
    "size of zero": ("OperatorAttributeError", valid_resize(size=[0, 6])),
    "side beyond the limit": ("OperatorAttributeError", valid_resize(size=[4, 8193])),
    "size of another shape": ("OperandError", valid_resize(size=[6, 6])),
}


def test_twice_the_width_by_hand() -> None:
    attrs = {"grid": [1, 2], "size": [1, 4]}
    assert one_channel("resize_bilinear", [0, 8], attrs, 4) == [0, 2, 6, 8]


@pytest.mark.parametrize(("grid", "size"), [((3, 4), (12, 16)), ((5, 7), (8, 3)), ((7, 2), (7, 9))])
def test_is_what_pytorch_calls_bilinear_without_aligned_corners(grid: tuple[int, int], size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    case = resize_case(np.random.default_rng(0), grid, size, 3)
    found = loop_resize_bilinear(case)[0].reshape(*size, 3)
    image = torch.from_numpy(case.inputs[0].reshape(1, *grid, 3)).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(image, size, mode="bilinear", align_corners=False)
    # Their order of operations and their weights are rounded differently: a few units in the last place.
    np.testing.assert_allclose(found, expected[0].permute(1, 2, 0).numpy(), atol=2e-6)

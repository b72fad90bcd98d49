"""Random valid uses of the operators on grids, and of those that move rows and channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from bitvit.program import Value, pack_bits
from bitvit.program.schema import AnyArray

from .operator_bases import OperatorCase, Rng, bits, f32

CHANNELS = (1, 2, 3, 8, 12, 16, 24, 36, 64, 72)


def _grid(rng: Rng) -> tuple[int, int]:
    return int(rng.integers(1, 8)), int(rng.integers(1, 8))


def _channels(rng: Rng) -> int:
    return int(rng.choice(CHANNELS))


def _divisor(rng: Rng, n: int) -> int:
    """A random divisor of n."""
    return int(rng.choice([d for d in range(1, n + 1) if n % d == 0]))


def _rows(rng: Rng, type: str, *shape: int) -> AnyArray:
    return f32(rng, *shape) if type == "f32" else bits(rng, *shape)


def _case(
    kind: str,
    x: AnyArray,
    type: Any,
    output: tuple[int, ...],
    attrs: dict[str, Any] | None = None,
    tensors: dict[str, AnyArray] | None = None,
) -> OperatorCase:
    """One input, and one output of the same type."""
    return OperatorCase(kind, [x], [Value(type, x.shape)], [Value(type, output)], attrs or {}, tensors or {})


def stencil(rng: Rng) -> OperatorCase:
    (h, w), c = _grid(rng), _channels(rng)
    groups = [rng.integers(-4, 5, (int(rng.integers(1, 6)), 2)).tolist() for _ in range(_divisor(rng, c))]
    attrs = {
        "grid": [h, w],
        "groups": groups,
        "wrap": bool(rng.integers(2)),
        "divisor": int(rng.choice([1, 2, 3, 5])),
    }
    return _case("stencil", f32(rng, h * w, c), "f32", (h * w, c), attrs)


def pool(rng: Rng) -> OperatorCase:
    (h, w), c = _grid(rng), _channels(rng)
    while True:
        kernel, stride = int(rng.integers(1, 8)), int(rng.integers(1, 8))
        padding = int(rng.integers(0, kernel // 2 + 1))
        out = [(n + 2 * padding - kernel) // stride + 1 for n in (h, w)]
        if min(out) >= 1:
            break
    kind = str(rng.choice(["average", "max"]))
    attrs = {"grid": [h, w], "kind": kind, "kernel": kernel, "stride": stride, "padding": padding}
    return _case("pool", f32(rng, h * w, c), "f32", (out[0] * out[1], c), attrs)


def upsample(rng: Rng) -> OperatorCase:
    (h, w), c, factor = _grid(rng), _channels(rng), int(rng.integers(1, 5))
    attrs = {"grid": [h, w], "factor": factor}
    return _case("upsample", f32(rng, h * w, c), "f32", (h * w * factor**2, c), attrs)


def merge_patches(rng: Rng) -> OperatorCase:
    patch, (rows, columns), c = int(rng.integers(1, 4)), _grid(rng), _channels(rng)
    type = str(rng.choice(["f32", "sign"]))
    n = rows * columns
    attrs = {"grid": [rows * patch, columns * patch], "patch": patch}
    return _case("merge_patches", _rows(rng, type, n * patch**2, c), type, (n, c * patch**2), attrs)


def binary_conv(rng: Rng) -> OperatorCase:
    (h, w), c = _grid(rng), _channels(rng)
    groups = _divisor(rng, c)
    kernel, o = int(rng.choice([1, 3, 5])), groups * int(rng.integers(1, 9))
    tensors = {
        "weight": pack_bits(bits(rng, o, kernel * kernel, c // groups)),
        "scale": f32(rng, o),
        "bias": f32(rng, o),
    }
    attrs = {"grid": [h, w], "kernel": kernel, "dilation": int(rng.choice([1, 2, 3, 5, 9])), "groups": groups}
    x = bits(rng, h * w, c)
    return OperatorCase("binary_conv", [x], [Value("sign", x.shape)], [Value("f32", (h * w, o))], attrs, tensors)


def gather_rows(rng: Rng) -> OperatorCase:
    n, c, type = int(rng.integers(1, 20)), _channels(rng), str(rng.choice(["f32", "sign"]))
    index = rng.integers(0, n, int(rng.integers(1, 30)), dtype=np.int32)
    return _case("gather_rows", _rows(rng, type, n, c), type, (len(index), c), {}, {"index": index})


def repeat_channels(rng: Rng) -> OperatorCase:
    n, c, times = int(rng.integers(1, 20)), _channels(rng), int(rng.integers(1, 6))
    return _case("repeat_channels", f32(rng, n, c), "f32", (n, c * times), {"times": times})


def mean_channels(rng: Rng) -> OperatorCase:
    n, c = int(rng.integers(1, 20)), _channels(rng)
    group = _divisor(rng, c)
    return _case("mean_channels", f32(rng, n, c), "f32", (n, c // group), {"group": group})


def reshape_rows(rng: Rng) -> OperatorCase:
    n, c = int(rng.integers(1, 20)), _channels(rng)
    rows = _divisor(rng, n * c)
    return _case("reshape_rows", f32(rng, n, c), "f32", (rows, n * c // rows), {"rows": rows})


def windows_to_heads(rng: Rng) -> OperatorCase:
    windows, n, c = int(rng.integers(1, 6)), int(rng.integers(1, 9)), _channels(rng)
    attrs = {"windows": windows}
    if rng.random() < 0.5:
        return _case("windows_to_heads", f32(rng, windows * n, c), "f32", (n, windows * c), attrs)
    heads = int(rng.integers(1, 4))
    return _case("windows_to_heads", bits(rng, windows * n, heads, c), "sign", (n, windows * heads, c), attrs)


def heads_to_windows(rng: Rng) -> OperatorCase:
    windows, n, c = int(rng.integers(1, 6)), int(rng.integers(1, 9)), _channels(rng)
    return _case("heads_to_windows", f32(rng, n, windows * c), "f32", (windows * n, c), {"windows": windows})


GRID_CASES = {
    make.__name__: make
    for make in (
        stencil,
        pool,
        upsample,
        merge_patches,
        binary_conv,
        gather_rows,
        repeat_channels,
        mean_channels,
        reshape_rows,
        windows_to_heads,
        heads_to_windows,
    )
}

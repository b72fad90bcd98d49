"""Random Programs of the pyramids' operators: grids, windows, pooling, stencils and binary convolutions."""

from __future__ import annotations

import numpy as np

from bitvit.program import BitvitFile, Preprocessing, Value, pack_bits, validate_file

from .operator_cases import bits, exponential_table, f32, positive, weight_bits
from .random_programs import ProgramBuilder


def random_pyramid(seed: int) -> BitvitFile:
    """Two stages on grids: dilated convolutions and shifts, downsampling, attention in windows with summaries."""
    rng = np.random.default_rng(seed)
    window, windows_high, windows_wide = (int(n) for n in rng.integers(2, 4, 3))
    grid = (2 * window * windows_high, 2 * window * windows_wide)
    channels = 4 * int(rng.integers(1, 5))
    b = ProgramBuilder(rng, grid)
    scaling = {"mul": positive(rng, 3) / np.float32(64), "add": f32(rng, 3)}
    pixels = b.op("image_to_float", ["image"], Value("f32", (*grid, 3)), tensors=scaling)
    stem = {"weight": f32(rng, channels, 1, 1, 3), "bias": f32(rng, channels)}
    n = grid[0] * grid[1]
    x = b.op("patch_conv_f32", [pixels], Value("f32", (n, channels)), attrs={"patch": 1}, tensors=stem)
    x = _mixing_stage(b, x, grid)
    x, grid = _downsampled(b, x, grid)
    x = _window_stage(b, x, grid, window)
    n_classes = int(rng.integers(1, 12))
    c = b.shape(x)[1]
    mean = b.op("mean_rows", [x], Value("f32", (1, c)))
    head = {"weight": f32(rng, n_classes, c), "bias": f32(rng, n_classes)}
    b.program.output = b.op("linear_f32", [mean], Value("f32", (1, n_classes)), tensors=head)
    size = b.shape("image")[:2]
    file = BitvitFile(
        b.program,
        b.tensors,
        Preprocessing((size[0], size[1]), max(size), "bilinear"),
        [f"class {i}" for i in range(n_classes)],
        {"model": "random pyramid", "seed": seed},
    )
    validate_file(file)
    return file


def _add(b: ProgramBuilder, x: str, y: str) -> str:
    return b.op("add", [x, y], Value("f32", b.shape(x)))


def _signs(b: ProgramBuilder, x: str) -> str:
    """Signs of the normalized rows: about as many of one kind as of the other, whatever came before."""
    n, c = b.shape(x)
    tensors = {"weight": f32(b.rng, c), "threshold": f32(b.rng, c) / np.float32(8)}
    return b.op("layer_norm_sign", [x], Value("sign", (n, c)), attrs={"eps": 1e-5}, tensors=tensors)


def _mixing_stage(b: ProgramBuilder, x: str, grid: tuple[int, int]) -> str:
    rng = b.rng
    n, c = b.shape(x)
    signs = _signs(b, x)
    total = x
    for dilation in (1, 3, 5):
        tensors = {
            "weight": pack_bits(bits(rng, c, 9, c // 4)),
            "scale": positive(rng, c) / np.float32(c),
            "bias": f32(rng, c),
        }
        attrs = {"grid": list(grid), "kernel": 3, "dilation": dilation, "groups": 4}
        mixed = b.op("binary_conv", [signs], Value("f32", (n, c)), attrs=attrs, tensors=tensors)
        total = _add(b, total, b.rows("rprelu", mixed, "before", "slope", "after"))
    total = b.rows("affine", total, "scale", "bias")
    rolled = {"grid": list(grid), "groups": [[[-1, 0], [0, 0], [1, 0]]], "wrap": True, "divisor": 3}
    quarters = {"grid": list(grid), "groups": [[[2, 0]], [[-2, 0]], [[0, 2]], [[0, -2]]], "wrap": True, "divisor": 1}
    padded = {
        "grid": list(grid),
        "groups": [[[0, d] for d in range(-2, 3)]],
        "wrap": bool(rng.integers(2)),
        "divisor": 5,
    }
    branches = [b.op("stencil", [total], Value("f32", (n, c)), attrs=attrs) for attrs in (rolled, quarters, padded)]
    wide = _wide_and_back(b, total)
    for branch in [*branches, wide]:
        total = _add(b, total, branch)
    return total


def _wide_and_back(b: ProgramBuilder, x: str) -> str:
    """The residual paths of an expansion and of a contraction."""
    n, c = b.shape(x)
    times = int(b.rng.integers(1, 4))
    tiled = b.op("repeat_channels", [x], Value("f32", (n, c * times)), attrs={"times": times})
    wide = _add(b, tiled, b.linear(_signs(b, x), c * times))
    mean = b.op("mean_channels", [wide], Value("f32", (n, c)), attrs={"group": times})
    return _add(b, mean, b.linear(_signs(b, wide), c))


def _downsampled(b: ProgramBuilder, x: str, grid: tuple[int, int]) -> tuple[str, tuple[int, int]]:
    rng = b.rng
    n, c = b.shape(x)
    half = (grid[0] // 2, grid[1] // 2)
    attrs = {"grid": list(grid), "kind": "average", "kernel": 2, "stride": 2, "padding": 0}
    mean = b.op("pool", [x], Value("f32", (n // 4, c)), attrs=attrs)
    tiled = b.op("repeat_channels", [mean], Value("f32", (n // 4, 2 * c)), attrs={"times": 2})
    patch = {"grid": list(grid), "patch": 2}
    if rng.random() < 0.5:
        merged = b.op("merge_patches", [_signs(b, x)], Value("sign", (n // 4, 4 * c)), attrs=patch)
    else:
        merged = _signs(b, b.op("merge_patches", [x], Value("f32", (n // 4, 4 * c)), attrs=patch))
    return _add(b, tiled, b.linear(merged, 2 * c)), half


def _window_stage(b: ProgramBuilder, x: str, grid: tuple[int, int], window: int) -> str:
    rng = b.rng
    n, c = b.shape(x)
    high, wide = grid[0] // window, grid[1] // window
    n_windows, heads = high * wide, int(rng.choice([1, 2, 4]))
    attrs = {"grid": list(grid), "kernel": window, "stride": window, "padding": 0}
    summaries = [
        b.op("pool", [x], Value("f32", (n_windows, c)), attrs={**attrs, "kind": kind}) for kind in ("max", "average")
    ]
    tokens = b.op("concat_rows", [x, _add(b, *summaries)], Value("f32", (n + n_windows, c)))
    cells = np.arange(n).reshape(high, window, wide, window).transpose(0, 2, 1, 3).reshape(n_windows, -1)
    index = np.concatenate([cells, np.tile(np.arange(n, n + n_windows), (n_windows, 1))], axis=1).astype(np.int32)
    gathered = b.op("gather_rows", [tokens], Value("f32", (index.size, c)), tensors={"index": index.reshape(-1)})
    signs = _signs(b, gathered)
    per_window, width = index.shape[1], c // heads
    queries, keys = (
        b.op(
            "windows_to_heads",
            [
                b.op(
                    "sign",
                    [b.linear(signs, c)],
                    Value("sign", (index.size, heads, width)),
                    tensors={"threshold": f32(rng, c) / np.float32(4)},
                )
            ],
            Value("sign", (per_window, n_windows * heads, width)),
            attrs={"windows": n_windows},
        )
        for _ in "qk"
    )
    values = b.op(
        "windows_to_heads",
        [b.linear(signs, c)],
        Value("f32", (per_window, n_windows * c)),
        attrs={"windows": n_windows},
    )
    all_heads = n_windows * heads
    masks = b.op(
        "attention_masks",
        [queries, keys],
        Value("mask", (2, all_heads, per_window, per_window)),
        attrs={"planes": [["at_least"], ["greater"]]},
        tensors={
            "table": exponential_table(rng, width),
            "thresholds": positive(rng, 2, all_heads) / np.float32(per_window),
        },
    )
    planes = b.op("value_planes", [values], Value("ternary", (1, all_heads, width, per_window)), attrs={"factors": []})
    scales = {"row_scale": positive(rng, 2, all_heads), "column_scale": positive(rng, 1)}
    context = b.op("value_product", [masks, planes], Value("f32", (per_window, n_windows * c)), tensors=scales)
    rows = b.op("heads_to_windows", [context], Value("f32", (index.size, c)), attrs={"windows": n_windows})
    place = np.argsort(index[:, : window * window].reshape(-1), kind="stable")
    flat = (np.arange(index.size).reshape(index.shape)[:, : window * window].reshape(-1))[place].astype(np.int32)
    inside = b.op("gather_rows", [rows], Value("f32", (n, c)), tensors={"index": flat})
    return _merged_summaries(b, inside, rows, (high, wide), window)


def _merged_summaries(b: ProgramBuilder, inside: str, rows: str, windows: tuple[int, int], window: int) -> str:
    """Summary rows averaged over the windows, brought back to the size of the grid, and added."""
    n, c = b.shape(inside)
    n_windows = windows[0] * windows[1]
    per_window = b.shape(rows)[0] // n_windows
    last = np.arange(n_windows) * per_window
    index = (last[:, None] + np.arange(per_window - n_windows, per_window)).astype(np.int32).reshape(-1)
    summaries = b.op("gather_rows", [rows], Value("f32", (n_windows**2, c)), tensors={"index": index})
    by_window = b.op("reshape_rows", [summaries], Value("f32", (n_windows, n_windows * c)), attrs={"rows": n_windows})
    mean = b.op("mean_rows", [by_window], Value("f32", (1, n_windows * c)))
    back = b.op("reshape_rows", [mean], Value("f32", (n_windows, c)), attrs={"rows": n_windows})
    attrs = {"grid": list(windows), "factor": window}
    large = b.op("upsample", [back], Value("f32", (n, c)), attrs=attrs)
    signs = _signs(b, _add(b, inside, large))
    return b.op(
        "binary_linear",
        [signs],
        Value("f32", (n, c)),
        tensors={"weight": weight_bits(b.rng, c, c), "scale": positive(b.rng, c), "bias": f32(b.rng, c)},
    )

"""PyTorch forms of the Program operators on maps, windows and channels (docs/format.md, Grids).

Maps travel as rows `[B,N,C]`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from torch import Tensor

from bitvit.export.operator_library import OperatorCall, operator, rows_value
from bitvit.program import Value


def _f32(n_rows: int, n_channels: int) -> list[Value]:
    return [Value("f32", (n_rows, n_channels))]


@operator("(Tensor x, Tensor before, Tensor slope, Tensor after) -> Tensor")
def rprelu(x: Tensor, before: Tensor, slope: Tensor, after: Tensor) -> OperatorCall:
    """Emit `rprelu`: ``t = x - before; (slope t where t < 0, else t) + after``, per channel."""
    tensors = {"before": before, "slope": slope, "after": after}
    return OperatorCall("rprelu", [(x, rows_value(x))], [rows_value(x)], {}, tensors)


@operator("(Tensor x, Tensor scale, Tensor bias) -> Tensor")
def affine(x: Tensor, scale: Tensor, bias: Tensor) -> OperatorCall:
    """Emit `affine`: ``x scale + bias``, per channel."""
    return OperatorCall("affine", [(x, rows_value(x))], [rows_value(x)], {}, {"scale": scale, "bias": bias})


@operator("(Tensor x, int[] grid, str groups, bool wrap, int divisor) -> Tensor")
def stencil(x: Tensor, grid: Sequence[int], groups: str, wrap: bool, divisor: int) -> OperatorCall:
    """`groups`: lists of taps `[dy, dx]` as JSON, one list for each equal part of the channels."""
    attrs = {"grid": list(grid), "groups": json.loads(groups), "wrap": wrap, "divisor": divisor}
    return OperatorCall("stencil", [(x, rows_value(x))], [rows_value(x)], attrs, {})


@operator("(Tensor x, int[] grid, str kind, int kernel, int stride, int padding) -> Tensor")
def pool(x: Tensor, grid: Sequence[int], kind: str, kernel: int, stride: int, padding: int) -> OperatorCall:
    """`kind`: 'average' or 'max'."""
    height, width = ((n + 2 * padding - kernel) // stride + 1 for n in grid)
    attrs = {"grid": list(grid), "kind": kind, "kernel": kernel, "stride": stride, "padding": padding}
    return OperatorCall("pool", [(x, rows_value(x))], _f32(height * width, int(x.shape[2])), attrs, {})


@operator("(Tensor x, int[] grid, int factor) -> Tensor")
def upsample(x: Tensor, grid: Sequence[int], factor: int) -> OperatorCall:
    """Emit `upsample`: each cell of the grid (height, width) repeated `factor` times along both axes."""
    output = _f32(int(x.shape[1]) * factor * factor, int(x.shape[2]))
    return OperatorCall("upsample", [(x, rows_value(x))], output, {"grid": list(grid), "factor": factor}, {})


@operator("(Tensor x, int[] grid, int[] size) -> Tensor")
def resize_bilinear(x: Tensor, grid: Sequence[int], size: Sequence[int]) -> OperatorCall:
    """Emit `resize_bilinear`: the grid (height, width) resized to `size`, half-pixel centres."""
    attrs = {"grid": list(grid), "size": list(size)}
    return OperatorCall("resize_bilinear", [(x, rows_value(x))], _f32(size[0] * size[1], int(x.shape[2])), attrs, {})


@operator("(Tensor x) -> Tensor")
def argmax_channels(x: Tensor) -> OperatorCall:
    """Scores `[B,N,C]` -> classes, int32 `[B,N]`."""
    return OperatorCall("argmax_channels", [(x, rows_value(x))], [Value("i32", (int(x.shape[1]),))], {}, {})


@operator("(Tensor x, int[] grid, int patch) -> Tensor")
def merge_patches(x: Tensor, grid: Sequence[int], patch: int) -> OperatorCall:
    """Rows of patches, `[B,N,C]` -> `[B,N/p^2,p^2 C]`."""
    output = _f32(int(x.shape[1]) // patch**2, int(x.shape[2]) * patch**2)
    return OperatorCall("merge_patches", [(x, rows_value(x))], output, {"grid": list(grid), "patch": patch}, {})


@operator("(Tensor bits, int[] grid, int patch, int channels) -> Tensor")
def merge_patches_sign(bits: Tensor, grid: Sequence[int], patch: int, channels: int) -> OperatorCall:
    """`merge_patches` of sign bits `[B,N,ceil(C/8)]`, C = channels."""
    n_rows = int(bits.shape[1])
    output = [Value("sign", (n_rows // patch**2, channels * patch**2))]
    attrs = {"grid": list(grid), "patch": patch}
    return OperatorCall("merge_patches", [(bits, Value("sign", (n_rows, channels)))], output, attrs, {})


@operator(
    "(Tensor bits, Tensor weight, Tensor scale, Tensor bias, int[] grid, int channels, int kernel, int dilation, "
    "int groups) -> Tensor"
)
def binary_conv(
    bits: Tensor,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor,
    grid: Sequence[int],
    channels: int,
    kernel: int,
    dilation: int,
    groups: int,
) -> OperatorCall:
    """Emit `binary_conv`: bits `[B,N,ceil(C/8)]`, weight `[O,kernel^2,ceil((C/groups)/8)]` -> `[B,N,O]`."""
    n_rows = int(bits.shape[1])
    attrs = {"grid": list(grid), "kernel": kernel, "dilation": dilation, "groups": groups}
    return OperatorCall(
        "binary_conv",
        [(bits, Value("sign", (n_rows, channels)))],
        _f32(n_rows, int(weight.shape[0])),
        attrs,
        {"weight": weight, "scale": scale, "bias": bias},
    )


@operator("(Tensor x, Tensor weight, Tensor bias) -> Tensor")
def linear_f32(x: Tensor, weight: Tensor, bias: Tensor) -> OperatorCall:
    """Emit `linear_f32`: ``x weight^T + bias``, rows ``[N, K]`` to ``[N, O]``."""
    output = _f32(int(x.shape[1]), int(weight.shape[0]))
    return OperatorCall("linear_f32", [(x, rows_value(x))], output, {}, {"weight": weight, "bias": bias})


@operator("(Tensor x, Tensor index) -> Tensor")
def gather_rows(x: Tensor, index: Tensor) -> OperatorCall:
    """Emit `gather_rows`: the rows at `index`, int32."""
    output = _f32(int(index.shape[0]), int(x.shape[2]))
    return OperatorCall("gather_rows", [(x, rows_value(x))], output, {}, {"index": index})


@operator("(Tensor x, Tensor y) -> Tensor")
def concat_rows(x: Tensor, y: Tensor) -> OperatorCall:
    """Emit `concat_rows`: the rows of `x`, then those of `y`."""
    output = _f32(int(x.shape[1]) + int(y.shape[1]), int(x.shape[2]))
    return OperatorCall("concat_rows", [(x, rows_value(x)), (y, rows_value(y))], output, {}, {})


@operator("(Tensor x) -> Tensor")
def mean_rows(x: Tensor) -> OperatorCall:
    """Emit `mean_rows`: the mean of all rows, ``[1, C]``."""
    return OperatorCall("mean_rows", [(x, rows_value(x))], _f32(1, int(x.shape[2])), {}, {})


@operator("(Tensor x, int times) -> Tensor")
def repeat_channels(x: Tensor, times: int) -> OperatorCall:
    """Emit `repeat_channels`: the channels of each row, `times` times one after the other."""
    output = _f32(int(x.shape[1]), int(x.shape[2]) * times)
    return OperatorCall("repeat_channels", [(x, rows_value(x))], output, {"times": times}, {})


@operator("(Tensor x, int group) -> Tensor")
def mean_channels(x: Tensor, group: int) -> OperatorCall:
    """Emit `mean_channels`: the mean of each `group` of neighbouring channels."""
    output = _f32(int(x.shape[1]), int(x.shape[2]) // group)
    return OperatorCall("mean_channels", [(x, rows_value(x))], output, {"group": group}, {})


@operator("(Tensor x, int rows) -> Tensor")
def reshape_rows(x: Tensor, rows: int) -> OperatorCall:
    """Emit `reshape_rows`: the same numbers in `rows` rows."""
    output = _f32(rows, int(x.shape[1]) * int(x.shape[2]) // rows)
    return OperatorCall("reshape_rows", [(x, rows_value(x))], output, {"rows": rows}, {})


@operator("(Tensor x, int windows) -> Tensor")
def windows_to_heads(x: Tensor, windows: int) -> OperatorCall:
    """Emit `windows_to_heads`: rows of W windows, one after the other, to W times as many channels."""
    output = _f32(int(x.shape[1]) // windows, int(x.shape[2]) * windows)
    return OperatorCall("windows_to_heads", [(x, rows_value(x))], output, {"windows": windows}, {})


@operator("(Tensor bits, int windows, int head_dim) -> Tensor")
def windows_to_heads_sign(bits: Tensor, windows: int, head_dim: int) -> OperatorCall:
    """Sign bits `[B,W n,H,ceil(D/8)]` -> `[B,n,W H,ceil(D/8)]`."""
    n_rows, heads = int(bits.shape[1]), int(bits.shape[2])
    output = [Value("sign", (n_rows // windows, heads * windows, head_dim))]
    value = Value("sign", (n_rows, heads, head_dim))
    return OperatorCall("windows_to_heads", [(bits, value)], output, {"windows": windows}, {})


@operator("(Tensor x, int windows) -> Tensor")
def heads_to_windows(x: Tensor, windows: int) -> OperatorCall:
    """Emit `heads_to_windows`, the inverse of `windows_to_heads`."""
    output = _f32(int(x.shape[1]) * windows, int(x.shape[2]) // windows)
    return OperatorCall("heads_to_windows", [(x, rows_value(x))], output, {"windows": windows}, {})

"""MSMHA: BHViT's attention inside windows that also see a summary token of every window."""

from typing import Literal

import torch
from torch import Tensor, nn

from bitvit.charge import Call, Charge
from bitvit.errors import UsageError
from bitvit.layers.facts import packed_child
from bitvit.layers.maps import average_pool, max_pool, nearest_upsample
from bitvit.layers.packed import as_rows, as_vector, grid_of, ops
from bitvit.layers.react_attention import AttentionUnits, PackedAttentionUnits
from bitvit.layers.react_linear import ReactOptions
from bitvit.quantizers.decomposition import DecomposedAttention
from bitvit.quantizers.estimator import AttentionEstimator

Summaries = Literal["mixed", "average"]
"""What the summary token of a window is: a learned mixture of maximum and average, or the average."""


def split_windows(x: Tensor, window: int) -> Tensor:
    """Cut a map into windows: ``[B, H, W, C] -> [B, H/w * W/w, w * w, C]``, windows and tokens row-major."""
    b, h, w, c = x.shape
    tiles = x.view(b, h // window, window, w // window, window, c).transpose(2, 3)
    return tiles.reshape(b, (h // window) * (w // window), window * window, c)


def join_windows(x: Tensor, window: int, size: tuple[int, int]) -> Tensor:
    """Undo `split_windows`: ``[B, windows, w * w, C] -> [B, H, W, C]``."""
    h, w = size
    tiles = x.reshape(x.shape[0], h // window, w // window, window, window, x.shape[-1])
    return tiles.transpose(2, 3).reshape(x.shape[0], h, w, x.shape[-1])


class WindowTokens(nn.Module):
    """The tokens of each window, followed by the summary tokens of all windows, normalized.

    ``summary = mix * maxpool(x) + (1 - mix) * avgpool(x)`` with kernel and stride w and padding ``(w - 1) // 2`` (the
    average divides by ``w * w`` always, the maximum pads with minus infinity); then LayerNorm of every token.

    Args:
        channels: C.
        window: w.
        summaries: ``"mixed"``: as above. ``"average"``: the average alone.

    Shape: map ``[B, H, W, C] -> [B * windows, w * w + windows, C]``.
    """

    def __init__(self, channels: int, window: int, summaries: Summaries = "mixed") -> None:
        super().__init__()
        self.window = window
        self.mix = nn.Parameter(torch.full((channels,), 0.5)) if summaries == "mixed" else None
        self.norm = nn.LayerNorm(channels, eps=1e-5)

    def summaries(self, x: Tensor) -> Tensor:
        """Return one summary token per window, ``[B, windows, C]``."""
        w, pad = self.window, (self.window - 1) // 2
        mean = average_pool(x, (w, w), (w, w), (pad, pad))
        if self.mix is None:
            return mean.flatten(1, 2)
        largest = max_pool(x, w, w, pad)
        return (self.mix * largest + (1 - self.mix) * mean).flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Gather and normalize the tokens."""
        windows = split_windows(x, self.window)
        shared = self.summaries(x).unsqueeze(1).expand(-1, windows.shape[1], -1, -1)
        result: Tensor = self.norm(torch.cat([windows, shared], dim=2).flatten(0, 1))
        return result

    def charge(self, call: Call) -> Charge:
        """Maximum and mean of every cell, and their mixture."""
        if self.mix is None:
            return Charge(other_flops=call.elements_in)
        return Charge(other_flops=2 * call.elements_in + 3 * (call.elements_in // self.window**2))

    def packed(self) -> nn.Module:
        """Return the layer as operators on rows."""
        return PackedWindowTokens(self)


class WindowMerge(nn.Module):
    """Merge what each window returned for its own tokens and for the summary tokens.

    ``y = share * window part + (1 - share) * up(mean over windows of the summary part)``, nearest upsampling.

    Args:
        channels: C.
        window: w.

    Shape: ``[B * windows, w * w + windows, C]`` and the map's size -> ``[B, H, W, C]``.
    """

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.share = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Merge both parts into one map."""
        grid = (size[0] // self.window, size[1] // self.window)
        tokens = torch.unflatten(x, 0, (-1, grid[0] * grid[1]))
        own, shared = torch.split(tokens, [self.window * self.window, grid[0] * grid[1]], dim=2)
        summary = nearest_upsample(torch.unflatten(shared.mean(dim=1), 1, grid), size)
        return self.share * join_windows(own, self.window, size) + (1 - self.share) * summary

    def charge(self, call: Call) -> Charge:
        """Count four operations per element: mean over windows, two shares, sum."""
        return Charge(other_flops=4 * call.elements_out)  # mean over windows, two shares, sum

    def packed(self) -> nn.Module:
        """Return the layer as operators on rows."""
        return PackedWindowMerge(self)


class WindowAttention(AttentionUnits):
    """Multi-scale multi-head attention over windows and summary tokens.

    With ``u = WindowTokens(x)``: ``q, k, v = unit(u)``; ``o = rprelu(norm(attend(q, k, v)) + q + k + v)`` in each
    window; ``y = affine(unit(merge(o)))``. Units are `ReactLinear`.

    Args:
        channels: C.
        num_heads: H.
        window: w; the map's height and width must be multiples of it.
        attention: estimator of the attention probabilities, by default `DecomposedAttention`.
        options: shared choices of the network.
        affine: scale and shift the output (initially 0.1).
        summaries: see `WindowTokens`.

    Shape: map ``[B, H, W, C] -> [B, H, W, C]``.

    Raises:
        UsageError: the map cannot be cut into windows.

    Source: docs/models.md, section 5.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int,
        window: int,
        options: ReactOptions,
        *,
        attention: AttentionEstimator | None = None,
        affine: bool = True,
        summaries: Summaries = "mixed",
    ) -> None:
        estimator = DecomposedAttention(num_heads) if attention is None else attention
        super().__init__(channels, num_heads, estimator, options, affine)
        self.tokens = WindowTokens(channels, window, summaries)
        self.merge = WindowMerge(channels, window)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within each window and with the summaries.

        Raises:
            UsageError: the map cannot be cut into whole windows.
        """
        size = (x.shape[1], x.shape[2])
        if size[0] % self.tokens.window or size[1] % self.tokens.window:
            raise UsageError(f"a {size[0]} x {size[1]} map cannot be cut into windows of {self.tokens.window}")
        tokens = self.tokens(x)
        query, key, value = self.query(tokens), self.key(tokens), self.value(tokens)
        context = self.norm(self.core(query, key, value))
        merged = self.merge(self.activation(context + query + key + value), size)
        result: Tensor = self.affine(self.output(merged))
        return result

    def charge(self, call: Call) -> Charge:
        """Count the sum of context, queries, keys and values."""
        return Charge(other_flops=3 * call.elements_out)  # the sum of context, q, k and v

    def packed(self) -> nn.Module:
        """Return the layer on bits."""
        return PackedWindowAttention(self)


def window_cells(grid: list[int], window: int) -> Tensor:
    """Row of the map of each token of each window: int64 `[windows, w w]`, windows and tokens row-major."""
    cells = torch.arange(grid[0] * grid[1]).view(grid[0] // window, window, grid[1] // window, window)
    return cells.transpose(1, 2).reshape(-1, window * window)


class PackedWindowTokens(nn.Module):
    """Packed `WindowTokens`: map `[B,H,W,C]` -> rows `[B,windows (w w + windows),C]`, window after window."""

    def __init__(self, layer: WindowTokens) -> None:
        super().__init__()
        self.window = layer.window
        self.norm = layer.norm
        self.is_mixed = layer.mix is not None
        if layer.mix is not None:
            mix = layer.mix.detach().double()
            self.register_buffer("mix", mix.float())
            self.register_buffer("rest", (1.0 - mix).float())
            self.register_buffer("zero", torch.zeros_like(mix).float())

    def forward(self, x: Tensor) -> Tensor:
        """Map a map, float32 ``[B, H, W, C]``, to rows ``[B, windows (w w + windows), C]``."""
        grid, window = grid_of(x), self.window
        rows, padding = as_rows(x), (self.window - 1) // 2
        summary = ops.pool(rows, grid, "average", window, window, padding)
        if self.is_mixed:
            largest = ops.affine(ops.pool(rows, grid, "max", window, window, padding), self.mix, self.zero)
            summary = largest + ops.affine(summary, self.rest, self.zero)
        cells = window_cells(grid, window)
        summaries = torch.arange(len(cells)).expand(len(cells), -1) + grid[0] * grid[1]
        index = torch.cat([cells, summaries], dim=1).flatten().int()
        result: Tensor = self.norm(ops.gather_rows(ops.concat_rows(rows, summary), index))
        return result


class PackedWindowMerge(nn.Module):
    """Packed `WindowMerge`: rows `[B,windows (w w + windows),C]` -> map `[B,H,W,C]`."""

    def __init__(self, layer: WindowMerge) -> None:
        super().__init__()
        self.window = layer.window
        share = layer.share.detach().double()
        self.register_buffer("share", share.float())
        self.register_buffer("rest", (1.0 - share).float())
        self.register_buffer("zero", as_vector(0.0, len(share)))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Map rows ``[B, windows (w w + windows), C]`` to a map of ``size``, float32 ``[B, H, W, C]``."""
        grid = [size[0] // self.window, size[1] // self.window]
        windows, own = grid[0] * grid[1], self.window * self.window
        first = torch.arange(windows)[:, None] * (own + windows)
        cells = window_cells(list(size), self.window)
        place = (first + torch.arange(own)).flatten()[cells.flatten().argsort()]
        summary_rows = (first + own + torch.arange(windows)).flatten()
        summary = ops.reshape_rows(ops.gather_rows(x, summary_rows.int()), windows)
        summary = ops.upsample(ops.reshape_rows(ops.mean_rows(summary), windows), grid, self.window)
        kept = ops.affine(ops.gather_rows(x, place.int()), self.share, self.zero)
        merged: Tensor = kept + ops.affine(summary, self.rest, self.zero)
        return merged.reshape(len(x), *size, merged.shape[-1])


class PackedWindowAttention(PackedAttentionUnits):
    """Packed `WindowAttention`: map `[B,H,W,C]` -> map."""

    def __init__(self, layer: WindowAttention) -> None:
        super().__init__(layer)
        self.window = layer.tokens.window
        self.tokens = packed_child(layer.tokens)
        self.merge = packed_child(layer.merge)

    def forward(self, x: Tensor) -> Tensor:
        """Map a map, float32 ``[B, H, W, C]``, to a map of that shape."""
        size = (int(x.shape[1]), int(x.shape[2]))
        windows = (size[0] // self.window) * (size[1] // self.window)
        tokens = self.tokens(x)
        query, key, value = self.query(tokens), self.key(tokens), self.value(tokens)
        context = self.norm(self.core(query, key, value, windows))
        merged = self.merge(self.activation(context + query + key + value), size)
        result: Tensor = self.affine(self.output(merged))
        return result

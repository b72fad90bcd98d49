"""Packed twins of BinaryViT's and BHViT's attention, over all tokens and inside windows."""

from __future__ import annotations

import json
import math

import torch
from torch import Tensor, nn

from bitvit.export.errors import ExportError
from bitvit.export.mask_planes import mask_planes
from bitvit.export.packed_layers import pack_layer
from bitvit.export.packed_maps import grid_of
from bitvit.export.packed_units import PackedReactLinear, PackedRPReLU, PackedShiftedSign, as_rows, pack_child
from bitvit.export.packing import as_vector, exponential_table
from bitvit.layers.react_attention import AttentionCore, ReactAttention
from bitvit.layers.window_attention import WindowAttention, WindowMerge, WindowTokens

ops = torch.ops.bitvit


class PackedAttentionCore(nn.Module):
    """Packed `AttentionCore`: q `[B,W N,C]`, k and v `[B,W M,C]` -> `[B,W N,C]`, W windows that attend each on their
    own."""

    value_shift: Tensor
    thresholds: Tensor
    row_scale: Tensor

    def __init__(self, layer: AttentionCore) -> None:
        super().__init__()
        quantizer = layer.quantizer
        if not getattr(quantizer, "binarize_input", True):
            raise ExportError("the model's activations are not binary: train stage 2 before exporting it")
        self.num_heads, self.head_dim = layer.num_heads, layer.head_dim
        self.query = PackedShiftedSign(layer.query_sign, layer.num_heads)
        self.key = PackedShiftedSign(layer.key_sign, layer.num_heads)
        PackedShiftedSign(layer.value_sign)  # its check
        planes = mask_planes(quantizer, layer.num_heads)
        assert planes.thresholds is not None
        self.planes = json.dumps(planes.rules)
        self.register_buffer("value_shift", layer.value_sign.shift.detach().float().clone())
        self.register_buffer("table", exponential_table(layer.head_dim, 1.0 / math.sqrt(layer.head_dim)))
        self.register_buffer("thresholds", planes.thresholds.float())
        self.register_buffer("row_scale", planes.factors.float().contiguous())
        self.register_buffer("column_scale", torch.ones(1))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, windows: int = 1) -> Tensor:
        q, k, v = self.query(query), self.key(key), value + self.value_shift
        if windows > 1:  # each window of each head attends on its own: windows become heads
            q = ops.windows_to_heads_sign(q, windows, self.head_dim)
            k = ops.windows_to_heads_sign(k, windows, self.head_dim)
            v = ops.windows_to_heads(v, windows)
        thresholds, row_scale = self.thresholds.repeat(1, windows), self.row_scale.repeat(1, windows)
        masks = ops.attention_masks(q, k, self.table, None, None, thresholds, self.head_dim, self.planes)
        planes = ops.value_planes(v, None, [], self.num_heads * windows)
        y: Tensor = ops.value_product(masks, planes, row_scale, self.column_scale, value.shape[1] // windows)
        return ops.heads_to_windows(y, windows) if windows > 1 else y


class PackedReactAttention(nn.Module):
    """Packed `ReactAttention`: tokens `[B,N,C]` and the size of their map -> `[B,N,C]`."""

    def __init__(self, layer: ReactAttention) -> None:
        super().__init__()
        self.reduction = layer.reduction
        self.reduce = PackedReactLinear(layer.reduce) if layer.reduce is not None else None
        self.query = PackedReactLinear(layer.query)
        self.key = PackedReactLinear(layer.key)
        self.value = PackedReactLinear(layer.value)
        self.core = PackedAttentionCore(layer.core)
        self.norm = pack_child(layer.norm)
        self.activation = PackedRPReLU(layer.activation)
        self.output = PackedReactLinear(layer.output)
        self.affine = pack_child(layer.affine)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        source = x
        if self.reduce is not None:
            source = self.reduce(ops.pool(x, list(size), "average", self.reduction, self.reduction, 0))
        query, key, value = self.query(x), self.key(source), self.value(source)
        context = self.norm(self.core(query, key, value))
        if self.reduce is not None:
            small = [n // self.reduction for n in size]
            key, value = ops.upsample(key, small, self.reduction), ops.upsample(value, small, self.reduction)
        result: Tensor = self.affine(self.output(self.activation(context + query + key + value)))
        return result


def window_cells(grid: list[int], window: int) -> Tensor:
    """Row of the map of each token of each window: int64 `[windows, w w]`, windows and tokens row-major."""
    cells = torch.arange(grid[0] * grid[1]).view(grid[0] // window, window, grid[1] // window, window)
    return cells.transpose(1, 2).reshape(-1, window * window)


class PackedWindowTokens(nn.Module):
    """Packed `WindowTokens`: map `[B,H,W,C]` -> rows `[B,windows (w w + windows),C]`, window after window."""

    def __init__(self, layer: WindowTokens) -> None:
        super().__init__()
        self.window = layer.window
        mix = layer.mix.detach().double()
        zero = torch.zeros_like(mix).float()
        self.register_buffer("mix", mix.float())
        self.register_buffer("rest", (1.0 - mix).float())
        self.register_buffer("zero", zero)
        self.norm = layer.norm

    def forward(self, x: Tensor) -> Tensor:
        grid, window = grid_of(x), self.window
        rows, padding = as_rows(x), (self.window - 1) // 2
        largest = ops.affine(ops.pool(rows, grid, "max", window, window, padding), self.mix, self.zero)
        mean = ops.affine(ops.pool(rows, grid, "average", window, window, padding), self.rest, self.zero)
        cells = window_cells(grid, window)
        summaries = torch.arange(len(cells)).expand(len(cells), -1) + grid[0] * grid[1]
        index = torch.cat([cells, summaries], dim=1).flatten().int()
        result: Tensor = self.norm(ops.gather_rows(ops.concat_rows(rows, largest + mean), index))
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


class PackedWindowAttention(nn.Module):
    """Packed `WindowAttention`: map `[B,H,W,C]` -> map."""

    def __init__(self, layer: WindowAttention) -> None:
        super().__init__()
        self.tokens = PackedWindowTokens(layer.tokens)
        self.query = PackedReactLinear(layer.query)
        self.key = PackedReactLinear(layer.key)
        self.value = PackedReactLinear(layer.value)
        self.core = PackedAttentionCore(layer.core)
        self.norm = pack_child(layer.norm)
        self.activation = PackedRPReLU(layer.activation)
        self.merge = PackedWindowMerge(layer.merge)
        self.output = PackedReactLinear(layer.output)
        self.affine = pack_child(layer.affine)

    def forward(self, x: Tensor) -> Tensor:
        size = (int(x.shape[1]), int(x.shape[2]))
        windows = (size[0] // self.tokens.window) * (size[1] // self.tokens.window)
        tokens = self.tokens(x)
        query, key, value = self.query(tokens), self.key(tokens), self.value(tokens)
        context = self.norm(self.core(query, key, value, windows))
        merged = self.merge(self.activation(context + query + key + value), size)
        result: Tensor = self.affine(self.output(merged))
        return result


@pack_layer.register
def _(layer: ReactAttention) -> nn.Module:
    return PackedReactAttention(layer)


@pack_layer.register
def _(layer: WindowAttention) -> nn.Module:
    return PackedWindowAttention(layer)

"""The packed twin of timm's patch embedding; our own first layers say themselves how they are packed."""

from __future__ import annotations

from timm.layers.format import Format
from timm.layers.patch_embed import PatchEmbed
from torch import Tensor, nn

from bitvit.errors import ExportError
from bitvit.layers.facts import packed_child
from bitvit.layers.patch_conv import PackedPatchConv

PackedStem = tuple[nn.Module, tuple[int, int]]


def packed_stem(layer: nn.Module, mean: Tensor, std: Tensor) -> PackedStem | None:
    """Return the packed twin of a first layer and the image size (height, width) it takes; None for any other layer.

    A layer of one's own has a method ``packed_stem(mean, std)`` that returns both; the twin takes uint8 images.
    """
    method = getattr(layer, "packed_stem", None)
    if callable(method):
        stem: PackedStem = method(mean, std)
        return stem
    return _packed_patch_embed(layer, mean, std) if isinstance(layer, PatchEmbed) else None


class PackedPatchEmbed(nn.Module):
    """Packed timm `PatchEmbed`: uint8 `[B,h p,w p,I]` -> normalized rows `[B,h w,C]`, or a map `[B,h,w,C]`."""

    def __init__(self, layer: PatchEmbed, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.conv = PackedPatchConv(layer.proj, mean, std)
        self.norm = packed_child(layer.norm)
        self.grid = None if layer.flatten else layer.grid_size

    def forward(self, image: Tensor) -> Tensor:
        """Map image bytes, uint8 ``[B, h p, w p, I]``, to rows ``[B, h w, C]`` or a map ``[B, h, w, C]``, float32."""
        rows: Tensor = self.norm(self.conv(image))
        return rows if self.grid is None else rows.reshape(len(rows), *self.grid, rows.shape[-1])


def _packed_patch_embed(layer: PatchEmbed, mean: Tensor, std: Tensor) -> PackedStem:
    if layer.img_size is None or layer.dynamic_img_pad:
        raise ExportError("a patch embedding without a fixed image size cannot be packed")
    if not layer.flatten and layer.output_fmt != Format.NHWC:
        raise ExportError('a patch embedding that keeps its map can be packed with output_fmt="NHWC" only')
    height, width = layer.img_size
    is_plain = layer.flatten and isinstance(layer.norm, nn.Identity)
    packed = PackedPatchConv(layer.proj, mean, std) if is_plain else PackedPatchEmbed(layer, mean, std)
    return packed, (int(height), int(width))

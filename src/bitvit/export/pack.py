"""`pack`: a trained binary model to a packed model that still runs in PyTorch."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from bitvit.errors import ExportError
from bitvit.export.packed_stems import packed_stem
from bitvit.layers.facts import has_binary_layers, is_comparison_only, packed_form
from bitvit.models.input_channels import normalization


class PackedModel(nn.Module):
    """A packed model on image bytes: uint8 `[B,H,W,C]` -> float32 logits `[B,classes]`.

    Attributes:
        model: the network with its binary layers replaced by packed ones.
        image_size: height and width of the images it takes.
        mean: of the normalization that is folded into it, one float for each channel, for pixel values in 0..1.
        std: likewise, the standard deviation.
    """

    def __init__(
        self, model: nn.Module, image_size: tuple[int, int], mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.model = model
        self.image_size = image_size
        self.mean = mean
        self.std = std

    def forward(self, images: Tensor) -> Tensor:
        """Map image bytes, uint8 ``[B, H, W, C]``, to the network's output.

        Raises:
            ValueError: the images have another type or shape.
        """
        expected = (*self.image_size, len(self.mean))
        if images.dtype != torch.uint8 or images.ndim != 4 or tuple(images.shape[1:]) != expected:
            shape = ",".join(map(str, expected))
            raise ValueError(f"a packed model takes uint8 images [B,{shape}], not {images.dtype} {list(images.shape)}")
        logits: Tensor = self.model(images)
        return logits


def pack(model: nn.Module) -> PackedModel:
    """Replace each binary layer of a trained model by its packed twin, on a copy.

    Args:
        model: a registered model or the result of `bitvit.binarize`, trained through stage 2.

    Returns:
        A model in evaluation mode on uint8 images; its `bitvit::*` operators run in the C++ engine.

    Raises:
        ExportError: the model has no binary layer, or one that cannot be packed.
    """
    if is_comparison_only(model):
        name = (getattr(model, "pretrained_cfg", None) or {}).get("architecture") or type(model).__name__
        raise ExportError(f"{name} is a comparison model for training only and cannot be packed or exported")
    mean, std = normalization(model)
    packed = copy.deepcopy(model).cpu().float().eval()
    packed.requires_grad_(False)
    if not has_binary_layers(packed):
        raise ExportError(
            f"{type(model).__name__} has no binary layer to pack: binarize and train it first "
            "(a binary layer of your own says is_binary = True)"
        )
    size = _replace(packed, torch.tensor(mean), torch.tensor(std))
    if size is None:
        raise ExportError(f"{type(model).__name__} has no first layer that can be packed (see docs/own-model.md)")
    return PackedModel(packed, size, mean, std)


def _replace(module: nn.Module, mean: Tensor, std: Tensor) -> tuple[int, int] | None:
    """Swap layers in place, depth first from the top; return the image size that the patch embedding takes."""
    size: tuple[int, int] | None = None
    for name, child in list(module.named_children()):
        stem = packed_stem(child, mean, std)
        if stem is not None:
            layer, size = stem
            setattr(module, name, layer)
            continue
        twin = packed_form(child)
        if twin is not None:
            setattr(module, name, twin)
            continue
        size = _replace(child, mean, std) or size
    return size

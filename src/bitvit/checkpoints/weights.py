"""Weights from one model to another."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch
from timm.layers import resample_abs_pos_embed
from timm.models import adapt_input_conv
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor, nn

from bitvit.checkpoints.errors import CheckpointError, ModelError
from bitvit.layers.quant_linear import QuantizedProduct
from bitvit.models.pyramid import Pyramid
from bitvit.models.reference import CheckpointImportError, read_checkpoint
from bitvit.models.semantic_fpn import SegmentationNetwork

__all__ = [
    "HEADS",
    "check_same_shapes",
    "copy_all_but_heads",
    "copy_backbone",
    "copy_weights",
    "load_pretrained",
]

HEADS = frozenset(("head", "head_dist", "fc", "classifier"))
"""Top-level modules whose shape depends on the number of classes."""


_SIZED_BY_TOKENS = ("attention.offset", ".offset")
"""Parameters with an entry for each token or pair of tokens, which another image size has no use for."""


def check_same_shapes(teacher: nn.Module, student: nn.Module) -> list[str]:
    """Return the names that teacher and student have in common.

    Raises:
        ModelError: if there are none, or a shape differs.
    """
    source, target = teacher.state_dict(), student.state_dict()
    shared = source.keys() & target.keys()
    if not shared:
        raise ModelError("model.init: teacher and student have no weights in common; use model.init=scratch")
    for name in sorted(shared):
        if source[name].shape != target[name].shape:
            raise ModelError(
                f"model.init: the teacher's {name} is {list(source[name].shape)}, "
                f"the student's {list(target[name].shape)}; "
                "use a teacher of the same shape, or model.init=scratch"
            )
    return sorted(shared)


def copy_weights(teacher: nn.Module, student: nn.Module) -> None:
    """Give the student the teacher's weights, wherever names agree; steps of 8-bit weights are fitted to them anew.

    Raises:
        ModelError: if no name agrees, or a shape differs.
    """
    shared = check_same_shapes(teacher, student)
    source = teacher.state_dict()
    student.load_state_dict({name: source[name] for name in shared}, strict=False)
    refit_weights(student)


def refit_weights(model: nn.Module) -> None:
    """Fit the estimators of all quantized weights to the weights."""
    for module in model.modules():
        if isinstance(module, QuantizedProduct):
            module.fit_weight()


def copy_all_but_heads(source: nn.Module, target: nn.Module) -> None:
    """Give a model all weights of another one of the same architecture; a head of another shape stays as it is.

    Raises:
        CheckpointError: if anything but a head differs.
    """
    own = target.state_dict()
    given = source.state_dict()
    shared = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    unfit = sorted(name for name in given.keys() ^ shared.keys() if name.split(".")[0] not in HEADS)
    if unfit:
        raise CheckpointError(f"model.weights: {unfit[0]} does not fit the model that is trained")
    target.load_state_dict(shared, strict=False)
    replaced = {name.rpartition(".")[0] for name in own.keys() - shared.keys()}
    for name, module in target.named_modules():
        if name in replaced and isinstance(module, QuantizedProduct):
            module.fit_weight()


def copy_backbone(source: nn.Module, target: SegmentationNetwork) -> None:
    """Give a segmentation network the weights of a classification network, or of a segmentation network.

    Position embeddings are resampled to the target's size; offsets of the attention for another number of tokens, a
    decoder for other classes and the source's head are left out.

    Args:
        source: of the architecture of the target's backbone, or the same network.
        target: the network that is changed, in place.

    Raises:
        CheckpointError: a weight of the backbone is missing or does not fit.
    """
    given = {f"backbone.{name}": value for name, value in source.state_dict().items()}
    if isinstance(source, SegmentationNetwork):
        given = source.state_dict()
    elif not isinstance(source, Pyramid):
        inner = "vit" if hasattr(source, "pos_embed") else "resnet"
        given = {f"backbone.{inner}.{name}": value for name, value in source.state_dict().items()}
    own = target.state_dict()
    chosen: dict[str, Tensor] = {}
    for name, value in own.items():
        found = given.get(name)
        if found is not None and found.shape == value.shape:
            chosen[name] = found
        elif found is not None and name.endswith(("position.embedding", "pos_embed")):
            chosen[name] = _resampled(found, name, source, target)
        elif name.startswith("backbone.") and not (found is not None and name.endswith(_SIZED_BY_TOKENS)):
            problem = "is missing" if found is None else f"is {list(found.shape)}, expected {list(value.shape)}"
            raise CheckpointError(f"model.weights: {name.removeprefix('backbone.')} {problem}: not this backbone")
    target.load_state_dict(chosen, strict=False)
    refit_weights(target)


def _resampled(embedding: Tensor, name: str, source: nn.Module, target: nn.Module) -> Tensor:
    """A position embedding `[1,N,C]` for the target's grid; those of class tokens stay."""
    new, old = (_grid_of(network, name) for network in (target, source))
    prefix = embedding.shape[1] - old[0] * old[1]
    resampled: Tensor = resample_abs_pos_embed(embedding, list(new), list(old), num_prefix_tokens=prefix)
    return resampled


def _grid_of(network: nn.Module, name: str) -> tuple[int, int]:
    """Height and width of the map that the position embedding called `name` belongs to."""
    path = name.removeprefix("backbone.") if not isinstance(network, SegmentationNetwork) else name
    if name.endswith("pos_embed"):
        vit = network.backbone.vit if isinstance(network, SegmentationNetwork) else network
        grid = vit.patch_embed.grid_size  # type: ignore[union-attr]
    else:
        grid = network.get_submodule(path.removesuffix(".embedding")).size
    height, width = grid  # type: ignore[misc]
    return int(height), int(width)


def _for_channels(weight: Tensor, own: Tensor | None) -> Tensor:
    """A convolution of RGB images for grey ones or four channels, as timm adapts it; all others as they are."""
    if own is None or own.ndim != 4 or weight.ndim != 4 or weight.shape[1] != 3 or own.shape[1] not in (1, 4):
        return weight
    if (weight.shape[0], *weight.shape[2:]) != (own.shape[0], *own.shape[2:]):
        return weight
    adapted: Tensor = adapt_input_conv(own.shape[1], weight)
    return adapted


def load_pretrained(model: nn.Module, path: Path) -> bool:
    """Load weights of a timm model into a model with another number of classes or channels, or another image size.

    Heads for other classes are left as they are; position embeddings are resampled; the first convolution of RGB images
    is adapted to grey images (sum over the colours) or four channels (repeated, times 3/4), as timm does it. Nothing in
    the file is executed.

    Args:
        model: the network that is changed, in place.
        path: ``.safetensors``, ``.pth``, ``.pt`` or ``.bin``; usual wrappers and prefixes are taken off.

    Returns:
        Whether the file has a head for the model's classes.

    Raises:
        CheckpointError: if the file cannot be read, belongs to another model, or holds NaN or infinity.
    """
    try:
        state: dict[str, Tensor] = read_checkpoint(path)
    except CheckpointImportError as error:
        raise CheckpointError(str(error)) from None
    broken = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise CheckpointError(f"{path}: NaN or infinity in {len(broken)} tensors, such as {broken[0]}")
    own = model.state_dict()
    rounded = [
        name for name, value in state.items()
        if name in own and own[name].is_floating_point() and not value.is_floating_point()
    ]  # fmt: skip
    if rounded:
        kind = str(state[rounded[0]].dtype).removeprefix("torch.")
        raise CheckpointError(
            f"{path}: {rounded[0]} is {kind}, a network's weights are floating-point numbers: a quantized checkpoint "
            "cannot be a teacher"
        )
    heads = {name for name in own if name.split(".")[0] in HEADS}
    has_head = any(name in state and state[name].shape == own[name].shape for name in heads)
    state = {name: value for name, value in state.items() if name not in heads or value.shape == own[name].shape}
    state = {name: _for_channels(value, own.get(name)) for name, value in state.items()}
    if hasattr(model, "patch_embed"):
        # What fails here is of another architecture, which the comparison below says in the user's words.
        with contextlib.suppress(RuntimeError, ValueError, KeyError, IndexError, AttributeError, AssertionError):
            state = dict(checkpoint_filter_fn(state, model))  # type: ignore[arg-type]
    unfit = next((name for name, value in state.items() if name not in own or value.shape != own[name].shape), None)
    missing = next((name for name in own if name not in state and name not in heads), None)
    if unfit is not None or missing is not None:
        problem = f"its {unfit} does not fit" if unfit is not None else f"it lacks {missing}"
        raise CheckpointError(f"{path}: holds another model than {type(model).__name__} as asked for: {problem}")
    model.load_state_dict(state, strict=False)
    return has_head

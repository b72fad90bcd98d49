"""From names in a recipe to models."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor, nn

from bitvit.errors import UsageError
from bitvit.layers import QuantizedConv2d, QuantizedLinear, StagedLayer
from bitvit.layers.low_bit_layers import LowBitLinear
from bitvit.models import binarize
from bitvit.program import Preprocessing
from bitvit.training.errors import CheckpointError, RecipeError
from bitvit.training.recipe import DataChoice

__all__ = [
    "ModelSpec",
    "build_model",
    "copy_all_but_heads",
    "copy_weights",
    "is_binary",
    "load_timm_weights",
    "preprocessing_for",
]

_HEADS = frozenset(("head", "head_dist", "fc", "classifier"))


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to build a model again: stored in checkpoints as JSON."""

    name: str
    num_classes: int
    image_size: int | None = None
    scheme: str | dict[str, Any] | None = None
    kwargs: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def is_binary(model: nn.Module) -> bool:
    """Tell whether a model has binary layers."""
    return any(isinstance(module, StagedLayer) for module in model.modules())


def build_model(spec: ModelSpec) -> nn.Module:
    """Build a model with initial weights from PyTorch's generator.

    A distilled model returns both heads' logits in training mode.

    Raises:
        RecipeError: if the name, an argument or the scheme is wrong.
    """
    kwargs: dict[str, Any] = {"num_classes": spec.num_classes, **spec.kwargs}
    if spec.image_size is not None:
        kwargs["img_size"] = spec.image_size
    if not timm.is_model(spec.name):
        raise RecipeError(
            f"unknown model '{spec.name}': `bitvit models` lists bitvit's own, timm.list_models() all others"
        )
    model = _create(spec.name, kwargs)
    if spec.scheme is not None:
        try:
            model = (
                _create(spec.name, {**kwargs, "scheme": spec.scheme})
                if is_binary(model)
                else binarize(model, spec.scheme)
            )
        except UsageError as error:
            raise RecipeError(f"model '{spec.name}': {error}") from None
    if isinstance(model, VisionTransformerDistilled):
        model.set_distilled_training(True)
    return model


def _create(name: str, kwargs: dict[str, Any]) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, **kwargs)
    except UsageError:
        raise
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise RecipeError(f"model '{name}' cannot be built with {kwargs}: {error}") from None
    return model


def preprocessing_for(model: nn.Module, data: DataChoice) -> Preprocessing:
    """Return how images are prepared: the model's input size and normalization, the recipe's crop and filter."""
    config: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    size = getattr(getattr(model, "patch_embed", None), "img_size", None) or config.get("input_size", (3, 224, 224))[1:]
    height, width = int(size[0]), int(size[1])
    red, green, blue = config.get("mean", (0.5, 0.5, 0.5))
    std_red, std_green, std_blue = config.get("std", (0.5, 0.5, 0.5))
    return Preprocessing(
        image_size=(height, width),
        resize_size=round(min(height, width) / data.crop_fraction),
        interpolation=data.interpolation,
        mean=(red, green, blue),
        std=(std_red, std_green, std_blue),
    )


def copy_weights(teacher: nn.Module, student: nn.Module) -> None:
    """Give the student the teacher's weights, wherever names agree; steps of 8-bit weights are fitted to them anew.

    Raises:
        RecipeError: if no name agrees, or a shape differs.
    """
    source, target = teacher.state_dict(), student.state_dict()
    shared = source.keys() & target.keys()
    if not shared:
        raise RecipeError("model.init: teacher and student have no weights in common; use model.init=scratch")
    for name in sorted(shared):
        if source[name].shape != target[name].shape:
            raise RecipeError(
                f"model.init: the teacher's {name} is {list(source[name].shape)}, "
                f"the student's {list(target[name].shape)}; "
                "use a teacher of the same shape, or model.init=scratch"
            )
    student.load_state_dict({name: source[name] for name in shared}, strict=False)
    for module in student.modules():
        if isinstance(module, QuantizedConv2d):
            module.reset_step()
        elif isinstance(module, (QuantizedLinear, LowBitLinear)):
            module.reset_weight_step()


def copy_all_but_heads(source: nn.Module, target: nn.Module) -> None:
    """Give a model all weights of another one of the same architecture; a head of another shape stays as it is.

    Raises:
        CheckpointError: if anything but a head differs.
    """
    own = target.state_dict()
    given = source.state_dict()
    shared = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    unfit = sorted(name for name in given.keys() ^ shared.keys() if name.split(".")[0] not in _HEADS)
    if unfit:
        raise CheckpointError(f"model.weights: {unfit[0]} does not fit the model that is trained")
    target.load_state_dict(shared, strict=False)
    replaced = {name.rpartition(".")[0] for name in own.keys() - shared.keys()}
    for name, module in target.named_modules():
        if name in replaced and isinstance(module, QuantizedLinear):
            module.reset_weight_step()


def load_timm_weights(model: nn.Module, path: Path) -> None:
    """Load a timm model's safetensors file into a model with another number of classes or image size.

    Heads for other classes are left as they are; position embeddings are resampled.

    Raises:
        CheckpointError: if the file cannot be read, or belongs to another model.
    """
    try:
        state: dict[str, Tensor] = load_file(str(path))
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from None
    own = model.state_dict()
    heads = {name for name in own if name.split(".")[0] in _HEADS}
    state = {name: value for name, value in state.items() if name not in heads or value.shape == own[name].shape}
    if hasattr(model, "patch_embed"):
        state = dict(checkpoint_filter_fn(state, model))  # type: ignore[arg-type]
    unfit = next((name for name, value in state.items() if name not in own or value.shape != own[name].shape), None)
    missing = next((name for name in own if name not in state and name not in heads), None)
    if unfit is not None or missing is not None:
        problem = f"its {unfit} does not fit" if unfit is not None else f"it lacks {missing}"
        raise CheckpointError(f"{path}: holds another model than {type(model).__name__} as asked for: {problem}")
    model.load_state_dict(state, strict=False)

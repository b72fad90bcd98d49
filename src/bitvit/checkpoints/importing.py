"""From an authors' checkpoint to one of this library's: evaluated, fine-tuned and exported like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bitvit.checkpoints.building import ModelSpec, build_model, preprocessing_for
from bitvit.checkpoints.checkpoint import CheckpointInfo, CheckpointStage, save_checkpoint
from bitvit.errors import BitvitError
from bitvit.models.reference import (
    CheckpointImportError,
    from_reference,
    import_notes,
    model_spec,
    read_checkpoint,
    read_config,
)
from bitvit.program import Preprocessing

__all__ = ["ImportedCheckpoint", "import_checkpoint"]

Three = tuple[float, float, float]


@dataclass(frozen=True)
class ImportedCheckpoint:
    """What an import has written.

    Attributes:
        family: "gsb", "binaryvit", "reactdeit" or "bhvit".
        model: the network, in evaluation mode.
        info: the new checkpoint's description.
        notes: what a user should know about the network, one sentence each.
    """

    family: str
    model: nn.Module
    info: CheckpointInfo
    notes: tuple[str, ...]


def import_checkpoint(
    checkpoint: str | Path,
    out: str | Path,
    *,
    family: str | None = None,
    config: Mapping[str, Any] | None = None,
    labels: Sequence[str] | None = None,
    mean: Three | None = None,
    std: Three | None = None,
) -> ImportedCheckpoint:
    """Read a checkpoint of the authors' code and write it as one that `load_checkpoint` builds again.

    Nothing in the file is executed. A GSB network takes its thresholds over each image, not over the batch as the
    release does (see `bitvit.models.reference.set_threshold_scope`); so does the network that `load_checkpoint`
    returns.

    Args:
        checkpoint: ``.pth`` or ``.safetensors``.
        out: the file to write, completely or not at all.
        family: see `bitvit.models.from_reference`; None infers it from the tensors.
        config: likewise.
        labels: class names, one for each logit; by default "class 0", "class 1", ...
        mean: of each channel, that the network was trained with, for values in 0..1; by default that of ImageNet.
        std: likewise, the standard deviation.

    Raises:
        CheckpointImportError: the file cannot be read, is of another family, or is not finite; also with labels that
            do not fit.
        KeyMismatchError: names every tensor that is missing, unexpected or of the wrong shape.
        OutputError: `out` cannot be written.
    """
    tensors = read_checkpoint(checkpoint)
    try:
        resolved = read_config(config, tensors, family)
        model, spec = _rebuildable(config, tensors, resolved.family)
    except BitvitError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError, AssertionError, RuntimeError) as error:
        raise CheckpointImportError(
            f"{checkpoint}: no network of family {resolved.family} can be built for it: "
            f"{' '.join(str(error).split()) or type(error).__name__} (check the config)"
        ) from error
    _check_finite(model, checkpoint)
    notes = import_notes(model)
    stage: CheckpointStage = "full"
    if spec.kwargs.get("stage") == "weights":
        stage = "weights"
        notes.append("this is the release's stage 1, with binary weights alone: it cannot be exported")
    preprocessing = _preprocessing(model, mean, std)
    if vars(model)["pretrained_cfg"]["input_size"][0] != 3:
        raise CheckpointImportError(f"{checkpoint}: the network does not take images of 3 channels")
    names = _labels(labels, spec.num_classes)
    info = CheckpointInfo(spec, stage, names, preprocessing)
    save_checkpoint(out, model, info)
    return ImportedCheckpoint(resolved.family, model, info, tuple(notes))


def _rebuildable(
    config: Mapping[str, Any] | None, tensors: Mapping[str, Tensor], family: str
) -> tuple[nn.Module, ModelSpec]:
    """Return the network as `load_checkpoint` will build it, with the checkpoint's weights."""
    imported = from_reference(config, tensors, family)
    name, arguments = model_spec(read_config(config, tensors, family), tensors)
    kwargs: dict[str, Any] = json.loads(json.dumps(arguments))
    if family == "gsb":
        kwargs["threshold_scope"] = "image"
    size = kwargs["img_size"]
    spec = ModelSpec(name, kwargs.pop("num_classes"), kwargs.pop("img_size") if isinstance(size, int) else None, None)
    spec = replace(spec, kwargs=kwargs)
    with torch.random.fork_rng(devices=[]):
        model = build_model(spec)
    model.load_state_dict(imported.state_dict())
    return model.eval(), spec


def _check_finite(model: nn.Module, checkpoint: str | Path) -> None:
    broken = [name for name, value in model.state_dict().items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise CheckpointImportError(f"{checkpoint}: NaN or infinity in {len(broken)} tensors, such as {broken[0]}")


def _preprocessing(model: nn.Module, mean: Three | None, std: Three | None) -> Preprocessing:
    """The published evaluation: shorter side to image size / 0.875, bicubic, centre crop."""
    found = preprocessing_for(model, crop_fraction=0.875)
    return replace(found, mean=mean or found.mean, std=std or found.std)


def _labels(labels: Sequence[str] | None, n_classes: int) -> tuple[str, ...]:
    if labels is None:
        return tuple(f"class {index}" for index in range(n_classes))
    if len(labels) != n_classes:
        raise CheckpointImportError(f"{len(labels)} labels are given for the network's {n_classes} classes")
    return tuple(labels)

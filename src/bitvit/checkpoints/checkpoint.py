"""Checkpoints: a model's weights in a safetensors file, with all that is needed to build and run it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from bitvit.checkpoints.building import ModelSpec, build_model, is_binary
from bitvit.checkpoints.description import check_description, model_spec
from bitvit.checkpoints.errors import CheckpointError, ModelError
from bitvit.files import write_atomically
from bitvit.models import set_stage
from bitvit.program import Preprocessing, PreprocessingError, check_preprocessing

__all__ = [
    "FINAL_FILE",
    "CheckpointInfo",
    "CheckpointStage",
    "is_checkpoint",
    "load_checkpoint",
    "read_info",
    "save_checkpoint",
]

FINAL_FILE = "model.safetensors"
"""The finished model's name in a run folder."""

_KEY = "bitvit"
_VERSION = 3  # 3: learned scales are stored as base values and logarithms of changes

CheckpointStage = Literal["float", "weights", "full"]


@dataclass(frozen=True)
class CheckpointInfo:
    """The description of a model in its checkpoint.

    Attributes:
        model: how to build it.
        stage: "full" (weights and activations binary), "weights" (stage 1), "float" (no binary layer).
        labels: class names, one for each logit.
        preprocessing: how images are prepared.
        task: what the model is for.
        colors: red, green, blue of each class, where the task draws with them.
        recipe: the training recipe as plain values (see `Recipe.from_dict`), empty if there was none.
        metrics: figures measured at the end of training.
    """

    model: ModelSpec
    stage: CheckpointStage
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    task: str = "classification"
    colors: tuple[tuple[int, int, int], ...] | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(path: str | Path, model: nn.Module, info: CheckpointInfo) -> None:
    """Write a model's weights and `info` as one file, completely or not at all.

    Raises:
        OutputError: if it cannot be written; an older file of that name stays.
    """
    metadata = {"version": _VERSION, **asdict(info)}
    # Cloned, because tied weights share memory, which safetensors refuses.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    # One key only: safetensors writes several in an order that differs from run to run.
    write_atomically(path, save(tensors, {_KEY: json.dumps(metadata)}))


def _resolve(path: str | Path) -> Path:
    found = Path(path).expanduser()
    if found.is_dir():
        inside = found / FINAL_FILE
        if not inside.is_file():
            unfinished = (found / "recipe.yaml").is_file()
            waiting = "training has not finished there; wait for it, or continue it with --resume"
            reason = waiting if unfinished else "not a run folder"
            raise CheckpointError(f"{found}: has no {FINAL_FILE} ({reason})")
        return inside
    if not found.is_file():
        raise CheckpointError(f"{found}: no such checkpoint or run folder")
    return found


def _parse_info(text: str) -> CheckpointInfo:
    raw = json.loads(text)
    if raw["version"] > _VERSION:
        raise CheckpointError("was written by a newer bitvit; update bitvit to read it")
    if raw["version"] < _VERSION:
        raise CheckpointError("was written by an older bitvit; train or import the model again")
    check_description(raw)
    prepared: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in raw["preprocessing"].items()
    }
    preprocessing = Preprocessing(**prepared)
    try:
        check_preprocessing(preprocessing)
    except PreprocessingError as error:
        raise CheckpointError(f"its description of the preprocessing is damaged: {error}") from None
    colors = raw["colors"]
    return CheckpointInfo(
        model=model_spec(raw["model"]),
        stage=raw["stage"],
        labels=tuple(raw["labels"]),
        preprocessing=preprocessing,
        task=raw["task"],
        colors=None if colors is None else tuple((int(red), int(green), int(blue)) for red, green, blue in colors),
        recipe=dict(raw["recipe"]),
        metrics=dict(raw["metrics"]),
    )


def _read(path: Path, with_tensors: bool) -> tuple[CheckpointInfo, dict[str, torch.Tensor]]:
    try:
        with open(path, "rb"):
            pass  # safetensors takes a file that may not be read for one that does not exist
        with safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            names = list(file.keys()) if with_tensors else []
            tensors = {name: file.get_tensor(name) for name in names}
    except PermissionError:
        raise CheckpointError(f"{path}: may not be read (permission denied)") from None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not a readable checkpoint ({_reason(error)})") from None
    if text is None:
        raise CheckpointError(f"{path}: a safetensors file, but not a bitvit checkpoint")
    try:
        return _parse_info(text), tensors
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, RecursionError):
        raise CheckpointError(f"{path}: its description of the model is damaged") from None


def _reason(error: Exception) -> str:
    """Return why safetensors cannot read a file; of something else it takes the first bytes for a length."""
    return "its content is something else" if "header too large" in str(error).lower() else str(error)


def is_checkpoint(path: Path) -> bool:
    """Return whether a file is a bitvit checkpoint, rather than weights from elsewhere."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return _KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def read_info(path: str | Path) -> CheckpointInfo:
    """Return the description of the model of a checkpoint or run folder, without building the model.

    Raises:
        CheckpointError: as `load_checkpoint`.
    """
    return _read(_resolve(path), with_tensors=False)[0]


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> tuple[nn.Module, CheckpointInfo]:
    """Return the model of a checkpoint, or of a run folder, in evaluation mode and in the stage it was saved in.

    Raises:
        CheckpointError: if it is missing, damaged, unfinished, or does not fit the model that it names.
    """
    found = _resolve(path)
    info, tensors = _read(found, with_tensors=True)
    try:
        with torch.random.fork_rng(devices=[]):
            model = build_model(info.model)
    except ModelError as error:
        raise CheckpointError(f"{found}: {error}") from None
    own = model.state_dict()
    unfit = sorted(own.keys() ^ tensors.keys()) or sorted(
        name for name in own if own[name].shape != tensors[name].shape
    )
    if unfit:
        raise CheckpointError(f"{found}: its weights do not belong to {info.model.name} ({unfit[0]} does not fit)")
    model.load_state_dict(tensors)
    if is_binary(model):
        set_stage(model, "weights" if info.stage == "weights" else "full")
    # Packing takes the normalization from here.
    config: dict[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    vars(model)["pretrained_cfg"] = {**config, "mean": info.preprocessing.mean, "std": info.preprocessing.std}
    return model.to(device).eval(), info

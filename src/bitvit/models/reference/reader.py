"""Reading checkpoint files without running anything they contain."""

import argparse
import itertools
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from bitvit.models.reference.errors import CheckpointImportError

_WRAPPERS = ("state_dict", "model", "model_state_dict", "model_ema", "module")
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
_SCALARS = (np.float64(0), np.float32(0), np.int64(0))
# What training scripts leave beside the tensors: their arguments, and figures. These types hold values and run nothing.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    np.dtype,
    np.float64(0).__reduce__()[0],
    *{type(value.dtype) for value in _SCALARS},
]


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a ``.pth``/``.pt``/``.bin`` (weights only) or ``.safetensors`` file.

    Training checkpoints are unwrapped (``{"model": ...}``, ``{"state_dict": ...}``), and prefixes that data-parallel or
    compiled modules (and Lightning) leave on names are taken off. Nothing in the file is executed.

    Raises:
        CheckpointImportError: no such file, not a checkpoint, or one that needs pickled code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointImportError(f"there is no checkpoint file {path}")
    if path.suffix == ".bitvit":
        raise CheckpointImportError(
            f"{path} is a packed network, which cannot be trained from: give the run folder or its model.safetensors"
        )
    if not path.stat().st_size:
        raise CheckpointImportError(f"{path} is empty")
    try:
        if path.suffix == ".safetensors":
            loaded: Any = safetensors.torch.load_file(path)
        else:
            with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
                warnings.simplefilter("ignore")  # about old protocols, and archives of TorchScript, which fail below
                loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointImportError(f"{path} {_why_unreadable(error)}") from error
    return _plain_names(_unwrap(loaded, path))


def _why_unreadable(error: Exception) -> str:
    """Say what is wrong with a file in our words: PyTorch's own advise to run what is in it."""
    text = str(error)
    if "TorchScript" in text:
        return "is a TorchScript archive, which holds code: save the state_dict of the original module instead"
    found = re.search(r"GLOBAL (\S+)|global `?([\w.]+)|(?:Trying to \w+|load unsupported) [^.]*?([\w]+\.[\w.]+)", text)
    if found is not None:
        name = next(group for group in found.groups() if group)
        return (
            f"cannot be read as a checkpoint of plain tensors: it holds Python objects ({name}), whose code is never "
            "run; save its state_dict alone, with torch.save(model.state_dict(), FILE) or as safetensors"
        )
    reason = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    reason = "" if "weights_only" in reason or "Weights only" in reason else f" ({reason})"
    return (
        f"cannot be read as a checkpoint of plain tensors{reason}: it is damaged, or not a file of PyTorch or "
        "safetensors; save the network's state_dict with torch.save or as safetensors"
    )


def _unwrap(loaded: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(loaded, Mapping):
        tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
        inner = next((loaded[key] for key in _WRAPPERS if isinstance(loaded.get(key), Mapping)), None)
        if inner is None and tensors:
            return tensors
        if inner is None:
            # A wrapper of another name, if there is one that holds tensors.
            inside = [value for value in loaded.values() if isinstance(value, Mapping)]
            candidates = [value for value in inside if _holds_tensors(value)] or [
                value for value in inside if any(_holds_tensors(deeper) for deeper in value.values())
            ]
            inner = candidates[0] if len(candidates) == 1 else None
        loaded = inner
    raise CheckpointImportError(f"{path} contains no named tensors, so it is not a checkpoint of a network")


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and any(
        isinstance(key, str) and isinstance(entry, Tensor) for key, entry in value.items()
    )


def _plain_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while True:
        prefix = next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in tensors)), None)
        prefix = prefix or _name_of_the_whole(tensors)
        if prefix is None:
            return tensors
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}


def _name_of_the_whole(tensors: dict[str, Tensor]) -> str | None:
    """Return the prefix of all names if it stands for the whole network, such as `backbone.`."""
    levels = zip(*(name.split(".") for name in tensors), strict=False)
    common = [parts[0] for parts in itertools.takewhile(lambda parts: len(set(parts)) == 1, levels)]
    prefix = "".join(f"{part}." for part in common)
    rests = [name.removeprefix(prefix) for name in tensors if name.startswith(prefix)]
    # Names of the layers of a network are left, not those of the parts of a single layer.
    return prefix if common and len(rests) == len(tensors) and any("." in rest for rest in rests) else None

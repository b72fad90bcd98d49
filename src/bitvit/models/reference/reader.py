"""Reading checkpoint files without running anything they contain."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from bitvit.models.reference.errors import CheckpointImportError

_WRAPPERS = ("state_dict", "model", "model_state_dict", "model_ema", "module")
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")


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
    try:
        if path.suffix == ".safetensors":
            loaded: Any = safetensors.torch.load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointImportError(
            f"{path} cannot be read as a checkpoint of plain tensors ({reason}); "
            "save its state_dict alone with torch.save or as safetensors"
        ) from error
    return _plain_names(_unwrap(loaded, path))


def _unwrap(loaded: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(loaded, Mapping):
        tensors = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
        inner = next((loaded[key] for key in _WRAPPERS if isinstance(loaded.get(key), Mapping)), None)
        if inner is None:
            if tensors:
                return tensors
            break
        loaded = inner
    raise CheckpointImportError(f"{path} contains no named tensors, so it is not a checkpoint of a network")


def _plain_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while True:
        prefix = next((prefix for prefix in _PREFIXES if all(name.startswith(prefix) for name in tensors)), None)
        if prefix is None:
            return tensors
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}

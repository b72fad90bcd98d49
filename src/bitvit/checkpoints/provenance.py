"""Provenance: the origin of a packed file, as stored in it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bitvit.checkpoints.checkpoint import CheckpointInfo

__all__ = ["provenance"]


def provenance(info: CheckpointInfo) -> dict[str, Any]:
    """Return a checkpoint's origin as plain values; `bitvit bench` builds the full-precision twin from it."""
    return {
        "model": info.model.name,
        "architecture": info.model.to_dict(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "recipe": info.recipe.get("name"),
        "data": _public(info.recipe.get("data", {})),
        "metrics": info.metrics,
    }


def _public(data: Any) -> dict[str, Any]:
    """Leave out where the images are on this machine: the file may be given to others."""
    if not isinstance(data, dict):  # a checkpoint may come from others, too
        return {}
    name = str(data.get("name", ""))
    is_folder = Path(name).is_absolute() or Path(name).expanduser().exists()
    return {
        **{key: value for key, value in data.items() if key != "folder"},
        "name": Path(name).name if is_folder else name,
    }

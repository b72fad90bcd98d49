"""bitvit: 1-bit vision transformers, trained on your own images and shipped as one small file that runs fast anywhere.

``import bitvit`` is light: PyTorch is imported only when a name that needs it is first used. The models of this package
are known to timm as well: ``timm.create_model("gsb_deit_small_patch16_224")`` works whichever of the two was imported
first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from bitvit import timm_hook

if TYPE_CHECKING:
    from bitvit.export.pack import pack
    from bitvit.models import binarize, create_model
    from bitvit.runtime import load

    __version__: str

__all__ = ["__version__", "binarize", "create_model", "load", "pack"]

_ATTRIBUTES = {
    "binarize": "bitvit.models",
    "create_model": "bitvit.models",
    "load": "bitvit.runtime",
    "pack": "bitvit.export",
}
_SUBPACKAGES = frozenset(
    {
        "bench",
        "checkpoints",
        "cli",
        "complexity",
        "data",
        "errors",
        "export",
        "inspection",
        "layers",
        "models",
        "program",
        "quantizers",
        "runtime",
        "training",
    }
)


def installed_version() -> str:
    """Return the version that was installed; it comes from git (`pyproject.toml`)."""
    from importlib import metadata  # takes as long as all the rest of this module

    try:
        return metadata.version("bitvit")
    except metadata.PackageNotFoundError:  # sources on the path, nothing installed
        return "0+unknown"


def __getattr__(name: str) -> object:
    if name in _ATTRIBUTES:
        value: object = getattr(importlib.import_module(_ATTRIBUTES[name]), name)
        globals()[name] = value
        return value
    if name == "__version__":
        globals()[name] = installed_version()
        return globals()[name]
    if name in _SUBPACKAGES:
        return importlib.import_module(f"bitvit.{name}")
    raise AttributeError(f"module 'bitvit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBPACKAGES})


timm_hook.install()

"""Registers bitvit's models with timm as soon as timm is there, without importing timm or PyTorch itself."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from typing import TYPE_CHECKING

# importlib.abc alone would take longer than all else in `import bitvit`; the two classes below need no base classes.
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["install"]


def _register_models() -> None:
    try:
        importlib.import_module("bitvit.models")
    except ImportError as error:
        # An incomplete installation of bitvit must not break `import timm` for everybody else.
        warnings.warn(f"bitvit's models are not registered with timm: {error}", ImportWarning, stacklevel=2)


class _RegisteringLoader:
    """Loads timm with its own loader, then registers the models and takes the finder out of the way."""

    def __init__(self, loader: Loader, finder: _TimmFinder) -> None:
        self._loader = loader
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # From here on timm is to see its own loader, for importlib.resources and the like.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        _register_models()


class _TimmFinder:
    """Lets the other finders find ``timm``, and wraps the loader that they name.

    It stays until timm has really been imported: a mere `importlib.util.find_spec("timm")` asks it too.
    """

    def __init__(self) -> None:
        self._is_searching = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "timm" or self._is_searching:
            return None
        self._is_searching = True
        try:
            spec = importlib.util.find_spec("timm")
        finally:
            self._is_searching = False
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisteringLoader(spec.loader, self)  # type: ignore[assignment]  # see above
        return spec


def install() -> None:
    """Register the models now if timm is already imported, else right after its first import."""
    if "timm" in sys.modules:
        _register_models()
    elif not any(isinstance(finder, _TimmFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _TimmFinder())

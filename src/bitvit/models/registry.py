"""Finding and creating models by name."""

from __future__ import annotations

import fnmatch
import importlib
from typing import Any

import timm
from timm.models import is_model
from torch import nn

from bitvit.errors import UsageError
from bitvit.models.binarize import binarize
from bitvit.models.entrypoints import REGISTERED
from bitvit.models.scheme import SchemeLike

# Importing a module registers its models with timm.
_FAMILIES = ("deit", "gsb_deit", "binaryvit", "reactdeit", "bhvit")
_SEGMENTATION = "semantic_fpn_models"
# What the paper's tables compare with: these train, and have no packed form.
_COMPARISON = ("comparison.binary_resnet", "comparison.qvit")
# Rebuilds imported checkpoints; not a model to choose, so it is not listed.
_RELEASE = "reference.gsb_models"

_TEACHERS = {
    "tiny_patch16_224": "deit_tiny_distilled_patch16_224",
    "small_patch16_224": "deit_small_distilled_patch16_224",
    "base_patch16_224": "deit_base_distilled_patch16_224",
    "micro_patch4_32": "deit_micro_distilled_patch4_32",
    "micro_patch8_32": "deit_micro_distilled_patch8_32",
}


def register() -> None:
    """Register bitvit's models with timm; calling it again does nothing."""
    for module in (*_FAMILIES, *_COMPARISON, _SEGMENTATION, _RELEASE):
        importlib.import_module(f"bitvit.models.{module}")


def list_models(pattern: str = "*", packable: bool = False, task: str = "classification") -> list[str]:
    """Names of bitvit's own models that match a shell pattern, sorted; timm's own are in ``timm.list_models``.

    The tiny models for tests are listed only by a pattern that starts with ``test_`` or ``deit_test_``.

    Args:
        pattern: what the names match.
        packable: leave out the models that are there for comparison and cannot be packed.
        task: what they are for, ``classification`` or ``segmentation``; of other tasks there are none.
    """
    register()
    names = [name for name in fnmatch.filter(REGISTERED, pattern) if _task_of(name) == task]
    if packable:
        names = [name for name in names if _is_packable(name)]
    wants_tests = pattern.startswith(("test_", "deit_test_"))
    return sorted(name for name in names if wants_tests or not name.startswith(("test_", "deit_test_")))


def _task_of(name: str) -> str:
    is_segmentation = REGISTERED[name] == f"bitvit.models.{_SEGMENTATION}"
    return "segmentation" if is_segmentation else "classification"


def _is_packable(name: str) -> bool:
    if _task_of(name) == "segmentation":
        from bitvit.models.semantic_fpn_models import is_packable_network

        return is_packable_network(name)
    return ".comparison." not in REGISTERED[name]


def takes_scheme(name: str) -> bool:
    """Return whether a registered model takes a ``scheme`` itself; others are binarized after they are built."""
    register()
    return is_model(name) and REGISTERED.get(name) == "bitvit.models.gsb_deit"


def create_model(name: str, *, scheme: SchemeLike | None = None, **kwargs: Any) -> nn.Module:
    """Create a registered model, bitvit's or timm's.

    The first weights of a seed do not depend on the scheme: binarizing draws no random numbers.

    Args:
        name: registered name, such as ``gsb_deit_small_patch16_224``.
        scheme: how it is binarized: a name, a `BinarizationScheme` or a mapping of changed fields. A full-precision
            vision transformer is binarized by it; None leaves the model as its name says.
        **kwargs: arguments of ``timm.create_model``, among them ``num_classes``, ``img_size``, ``drop_path_rate``,
            ``distilled``.

    Raises:
        UsageError: no model has that name.
    """
    register()
    if not is_model(name):
        raise UsageError(f"unknown model {name!r}; `bitvit models` lists the names")
    if scheme is None:
        model: nn.Module = timm.create_model(name, **kwargs)
        return model
    if takes_scheme(name):
        model = timm.create_model(name, scheme=scheme, **kwargs)
        return model
    return binarize(timm.create_model(name, **kwargs), scheme)


def teacher_of(name: str) -> str | None:
    """Name of the full-precision model of the same shape as a binary DeiT, or None where there is none."""
    register()
    for prefix in ("gsb_deit_", "binary_deit_"):
        if name.startswith(prefix):
            return _TEACHERS.get(name.removeprefix(prefix))
    for prefix in ("qvit2_deit_", "qvit1_deit_"):
        if name.startswith(prefix):
            return _TEACHERS.get(name.removeprefix(prefix))
    if name.startswith("test_qvit"):
        return "deit_test_distilled_patch4_16"
    if name.startswith(("test_gsb_deit", "test_binary_deit")):
        if name.endswith(("_odd", "_many_components")):
            return "deit_test_odd_distilled_patch5_20"
        return "deit_test_patch4_16" if name.endswith("_single") else "deit_test_distilled_patch4_16"
    return None

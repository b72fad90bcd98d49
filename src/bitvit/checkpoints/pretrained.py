"""timm's pretrained weights, from the cache of the Hugging Face hub or from the hub itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import timm
from timm.models import get_pretrained_cfg
from torch import nn

from bitvit.checkpoints.building import ModelSpec, build_model
from bitvit.checkpoints.errors import CheckpointError
from bitvit.hub.errors import HubError, explained

__all__ = ["build_pretrained", "check_pretrained", "registered_image_size"]


def check_pretrained(name: str) -> None:
    """Refuse a model without pretrained weights; no file is looked for.

    Raises:
        CheckpointError: timm knows no such model, or has no weights for it.
    """
    config = get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None or not config.has_weights:
        what = "has no pretrained weights for" if config is not None else "does not know"
        raise CheckpointError(
            f"teacher.pretrained: timm {what} '{name}': timm.list_models(pretrained=True) names those that have some"
        )


def registered_image_size(name: str) -> int | None:
    """Return the side of the images that a model of timm or bitvit is made for; None where that is not known."""
    config = get_pretrained_cfg(name) if timm.is_model(name) else None
    return None if config is None else int(config.input_size[-1])


def build_pretrained(spec: ModelSpec) -> tuple[nn.Module, bool]:
    """Build a model with timm's pretrained weights. Nothing in their file is executed.

    They are taken from the cache of the Hugging Face hub (`HF_HOME`), or downloaded into it. timm adapts them to
    another image size, number of channels or number of classes.

    Args:
        spec: the model; one of timm's.

    Returns:
        The model, and whether its head is pretrained too: for other numbers of classes it starts anew.

    Raises:
        CheckpointError: there are no weights, they do not fit, or they can neither be found nor downloaded.
        ModelError: the model cannot be built.
    """
    check_pretrained(spec.name)
    try:
        with explained(f"the weights of {spec.name}"), _silent_hub():
            model = build_model(spec, pretrained=True)
    except HubError as error:
        raise CheckpointError(
            f"teacher.pretrained: {error}: download them once where the hub can be reached ({_command(spec.name)}), or "
            "give a file with teacher.weights=FILE (--teacher FILE)"
        ) from None
    return model, _config(spec.name).num_classes == spec.num_classes


@contextmanager
def _silent_hub() -> Iterator[None]:
    """Keep the hub's client from reporting each attempt to connect: what it says is said once, in our words."""
    client = logging.getLogger("huggingface_hub")
    before = client.level
    client.setLevel(logging.ERROR)
    try:
        yield
    finally:
        client.setLevel(before)


def _config(name: str) -> Any:
    return get_pretrained_cfg(name)


def _command(name: str) -> str:
    source = _config(name).hf_hub_id
    return f"hf download {source}" if source else f"timm.create_model('{name}', pretrained=True)"

"""A network's passes in training as CUDA graphs: one launch each, instead of one for each of their operations.

A small network's step on a GPU is bound by the time that Python takes to launch some 2,000 kernels, not by what they
compute. A graph replays them at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bitvit.training.errors import TrainingError
from bitvit.training.passes import gradients_of, unchanged

__all__ = ["capture_passes", "release_passes"]

_LEAST_COSINE = 0.999
_LARGEST_DIFFERENCE = 1e-3


def capture_passes(model: nn.Module, images: Tensor) -> None:
    """Let a model replay its forward and backward pass from now on, for batches of this shape, while it trains.

    Evaluation runs as before. The graphs are compared with the plain passes first; the model's state stays as it is.

    Args:
        model: in training mode on a CUDA device, without hooks.
        images: a batch ``[B,C,H,W]``.

    Raises:
        TrainingError: the passes cannot be captured, or the graphs give other gradients.
    """
    with unchanged(model):
        expected, gradients = gradients_of(model, images)
    # The graphs' gradients come from another stream than those of the plain passes, on purpose; PyTorch warns of it.
    if hasattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch"):
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    capture: Any = torch.cuda.make_graphed_callables
    try:
        with unchanged(model):
            capture(model, (images.clone(),), allow_unused_input=True)
        with unchanged(model):
            loss, found = gradients_of(model, images)
    except RuntimeError as error:
        release_passes(model)
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"this network's passes cannot be captured ({reason}); set runtime.cuda_graphs=false"
        ) from None
    cosine = _cosine(gradients, found)
    if abs(loss - expected) > _LARGEST_DIFFERENCE * abs(expected) or not cosine >= _LEAST_COSINE:
        release_passes(model)
        raise TrainingError(
            f"the graphs of this network's passes give other gradients (cosine {cosine:.4f}); "
            "set runtime.cuda_graphs=false"
        )


def _cosine(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    if one.keys() != other.keys():
        return 0.0
    first, second = (torch.cat([value.double().flatten() for value in some.values()]) for some in (one, other))
    return float(nn.functional.cosine_similarity(first, second, dim=0))


def release_passes(model: nn.Module) -> None:
    """Run a model's passes as they are again, and free the graphs."""
    vars(model).pop("forward", None)

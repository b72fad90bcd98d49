"""A network's passes in training as CUDA graphs: one launch each, instead of one for each of their operations.

A small network's step on a GPU is bound by the time that Python takes to launch some 2,000 kernels, not by what they
compute. A graph replays them at once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bitvit.training.errors import TrainingError

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
    state = {name: value.clone() for name, value in model.state_dict().items()}
    expected, gradients = _passes(model, images)
    _restore(model, state)
    capture: Any = torch.cuda.make_graphed_callables
    try:
        capture(model, (images.clone(),), allow_unused_input=True)
        _restore(model, state)
        loss, found = _passes(model, images)
    except RuntimeError as error:
        release_passes(model)
        reason = " ".join(str(error).split())[:200]
        raise TrainingError(
            f"this network's passes cannot be captured ({reason}); set runtime.cuda_graphs=false"
        ) from None
    finally:
        _restore(model, state)
    cosine = float(nn.functional.cosine_similarity(gradients, found, dim=0))
    if abs(loss - expected) > _LARGEST_DIFFERENCE * abs(expected) or not cosine >= _LEAST_COSINE:
        release_passes(model)
        raise TrainingError(
            f"the graphs of this network's passes give other gradients (cosine {cosine:.4f}); "
            "set runtime.cuda_graphs=false"
        )


def release_passes(model: nn.Module) -> None:
    """Run a model's passes as they are again, and free the graphs."""
    vars(model).pop("forward", None)


def _passes(model: nn.Module, images: Tensor) -> tuple[float, Tensor]:
    """Return some loss of both heads and its gradients, as one vector."""
    outputs = model(images)
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    ramps = [torch.linspace(-1, 1, scores.shape[1], device=scores.device, dtype=scores.dtype) for scores in heads]
    losses = [(scores.movedim(1, -1) * ramp).sum(-1).square().mean() for scores, ramp in zip(heads, ramps, strict=True)]
    loss = torch.stack(losses).sum()
    torch.autograd.backward(loss)
    gradients = [value.grad.double().flatten() for value in model.parameters() if value.grad is not None]
    model.zero_grad(set_to_none=True)
    return float(loss.detach()), torch.cat(gradients)


def _restore(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Undo what passes did to running averages."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(state[name])

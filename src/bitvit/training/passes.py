"""A network's passes, compared before another way to compute them is trusted with a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["gradients_of", "unchanged"]


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Restore a model's weights and buffers afterwards: passes move running averages."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in model.state_dict().items():
                value.copy_(state[name])


def gradients_of(model: nn.Module, images: Tensor) -> tuple[float, dict[str, Tensor]]:
    """Return some loss of a model's outputs, and its gradients by parameter; the parameters have none afterwards.

    Args:
        model: in training mode; its outputs are scores ``[B,K]``, a pair of them, or scores ``[B,K,H,W]``.
        images: a batch ``[B,C,H,W]``.
    """
    outputs = model(images)
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    losses = []
    for scores in heads:
        ramp = torch.linspace(-1, 1, scores.shape[1], device=scores.device, dtype=scores.dtype)
        losses.append((scores.movedim(1, -1) * ramp).sum(-1).square().mean())
    loss = torch.stack(losses).sum()
    torch.autograd.backward(loss)
    gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad(set_to_none=True)
    return float(loss.detach()), gradients

"""`torch.compile` of a network in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["compile_for_training", "stop_compiling"]

# Share of the activations that may be kept for the backward pass. A little below 1 is enough for PyTorch to compute
# signs, masks and shifted inputs again, which cost nothing beside the matrix products: a quarter less memory for GSB.
_ACTIVATION_BUDGET = 0.9


def compile_for_training(model: nn.Module) -> None:
    """Let `torch.compile` (Inductor) run a model's calls from now on, with less memory for activations than usual.

    The model stays the same object with the same names of parameters; it is compiled at its first call.
    """
    model.compile(backend=_lean_inductor)


def _lean_inductor(graph: Any, inputs: Any) -> Any:
    inductor: Any = torch._dynamo.lookup_backend("inductor")
    with torch._functorch.config.patch(activation_memory_budget=_ACTIVATION_BUDGET):
        return inductor(graph, inputs)


def stop_compiling(model: nn.Module) -> None:
    """Run a model's calls as they are again."""
    vars(model)["_compiled_call_impl"] = None

"""`torch.compile` of a network in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bitvit.training.errors import TrainingError
from bitvit.training.passes import gradients_of, unchanged

__all__ = ["check_compiled", "compile_for_training", "stop_compiling"]

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


def check_compiled(model: nn.Module, images: Tensor) -> None:
    """Make sure that a compiled model learns: PyTorch 2.11 compiles gradients of binary layers to zeros, 2.14 does not.

    Args:
        model: compiled by `compile_for_training`, in training mode.
        images: a batch ``[B,C,H,W]``.

    Raises:
        TrainingError: weights have a gradient as they are, and none where they are compiled.
    """
    compiled = vars(model)["_compiled_call_impl"]
    stop_compiling(model)
    with unchanged(model):
        _, expected = gradients_of(model, images)
    vars(model)["_compiled_call_impl"] = compiled
    with unchanged(model):
        _, found = gradients_of(model, images)
    lost = [
        name
        for name, value in expected.items()
        if value.dim() >= 2 and bool(value.any()) and not (name in found and bool(found[name].any()))
    ]
    if lost:
        raise TrainingError(
            f"compiled by PyTorch {torch.__version__}, {len(lost)} of {len(expected)} weights of this network get no "
            "gradient; set runtime.compile=false, or install a later PyTorch"
        )


def stop_compiling(model: nn.Module) -> None:
    """Run a model's calls as they are again."""
    vars(model)["_compiled_call_impl"] = None

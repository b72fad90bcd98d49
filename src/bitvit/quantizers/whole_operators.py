"""Operators that `torch.compile` leaves whole on a CPU.

Inductor fuses the many comparisons of a binarization well on a GPU. On a CPU it keeps their masks as bytes for the
backward pass, and packing them costs a good part of the step (docs/performance.md), so there each forward and
backward is one call into the same code that runs without compilation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

_Result = TypeVar("_Result")


def gradient_shapes(grad: Tensor, x: Tensor, scales: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """Uninitialized gradients of ``x``, contiguous, and of ``scales``: the `shapes` of a backward pass."""
    return torch.empty_like(x, memory_format=torch.contiguous_format), torch.empty_like(scales)


def whole_on_cpu(name: str, shapes: Callable[..., Any]) -> Callable[[Callable[..., _Result]], Callable[..., _Result]]:
    """Make a function of tensors a PyTorch operator ``bitvit::name`` for compilation on a CPU.

    Args:
        name: of the operator.
        shapes: from the function's arguments, uninitialized results of the right shapes and dtypes.

    Returns:
        A decorator. The function must be annotated as `torch.library.infer_schema` wants, its first argument must be a
        tensor, and it must neither write to its arguments nor return views of them.
    """

    def decorate(function: Callable[..., _Result]) -> Callable[..., _Result]:
        operator: Any = torch.library.custom_op(f"bitvit::{name}", function, mutates_args=())
        operator.register_fake(shapes)

        def call(first: Tensor, *others: Any) -> _Result:
            is_whole = torch.compiler.is_compiling() and first.device.type == "cpu"
            result: _Result = (operator if is_whole else function)(first, *others)
            return result

        return call

    return decorate

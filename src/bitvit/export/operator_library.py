"""How a Program operator becomes a PyTorch operator `bitvit::*`.

Each operator is described once, by a function from its arguments to an `OperatorCall`. From that one description follow
the kernel (the C++ engine runs it, image by image), the shape function that `torch.export` needs, and the lowering to
a Program.

Bits travel through PyTorch in their stored form (docs/format.md): uint8, the last axis packed little-endian, a leading
batch axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitvit import runtime
from bitvit.program import Value, stored_shape

_LIBRARY = torch.library.Library("bitvit", "DEF")  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class OperatorCall:
    """A Program operator applied to tensors.

    Attributes:
        op: name of the operator.
        inputs: tensors, each with the Program's value that it stands for.
        outputs: values that it computes.
        attrs: attributes by name.
        tensors: its parameters by name.
    """

    op: str
    inputs: list[tuple[Tensor, Value]]
    outputs: list[Value]
    attrs: dict[str, Any]
    tensors: dict[str, Tensor]


DESCRIPTIONS: dict[str, Callable[..., OperatorCall]] = {}
"""Operator name -> the function that turns its arguments (real or fake tensors) into an `OperatorCall`."""


def _run(call: OperatorCall) -> Any:
    arrays = [np.ascontiguousarray(tensor.detach().numpy()) for tensor, _ in call.inputs]
    parameters = {name: np.ascontiguousarray(tensor.detach().numpy()) for name, tensor in call.tensors.items()}
    results = runtime.run_op(call.op, arrays, call.attrs, parameters, [value for _, value in call.inputs], call.outputs)
    tensors = [torch.from_numpy(result) for result in results]
    return tensors[0] if len(tensors) == 1 else tuple(tensors)


def _fake(call: OperatorCall) -> Any:
    batch = call.inputs[0][0].shape[0]
    results = []
    for value in call.outputs:
        dtype = {"f32": torch.float32, "i32": torch.int32}.get(value.type, torch.uint8)
        results.append(call.inputs[0][0].new_empty((batch, *stored_shape(value.type, value.shape)), dtype=dtype))
    return results[0] if len(results) == 1 else tuple(results)


def operator(schema: str) -> Callable[[Callable[..., OperatorCall]], Callable[..., OperatorCall]]:
    """Register `bitvit::<function name>` with the given argument schema."""

    def register(describe: Callable[..., OperatorCall]) -> Callable[..., OperatorCall]:
        name = describe.__name__
        _LIBRARY.define(f"{name}{schema}")  # type: ignore[no-untyped-call]
        _LIBRARY.impl(name, lambda *args: _run(describe(*args)), "CPU")  # type: ignore[no-untyped-call]
        torch.library.register_fake(f"bitvit::{name}", lambda *args: _fake(describe(*args)), lib=_LIBRARY)
        DESCRIPTIONS[name] = describe
        return describe

    return register


def rows_value(x: Tensor) -> Value:
    """A float tensor with a batch axis as a Program value."""
    return Value("f32", tuple(int(n) for n in x.shape[1:]))

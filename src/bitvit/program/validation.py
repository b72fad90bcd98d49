"""Checks a Program and its tensors against ``docs/format.md``. The core does it (``cpp/program/``)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bitvit import _core
from bitvit.program.errors import TensorTypeError
from bitvit.program.schema import TENSOR_DTYPES, AnyArray, Program

__all__ = ["checked", "validate"]


def validate(program: Program, tensors: Mapping[str, AnyArray]) -> None:
    """Raise the `ProgramError` named after the first violated rule; return nothing if there is none."""
    checked(program, tensors)


def checked(program: Program, tensors: Mapping[str, AnyArray]) -> _core.Model:
    """The Program and copies of its tensors in the core, checked and ready to run.

    Raises:
        ProgramError: the Program or a tensor violates a rule of ``docs/format.md``.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in TENSOR_DTYPES.values():
            raise TensorTypeError(f"tensor {name!r:.80} has the element type {tensor.dtype}")
    return _core.check_program(program, {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})

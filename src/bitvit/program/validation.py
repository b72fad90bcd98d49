"""Checks a Program and its tensors against ``docs/format.md``. The core does it (``cpp/program/``)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bitvit import _core
from bitvit.program.errors import PreprocessingError, TensorTypeError
from bitvit.program.metadata import dump, preprocessing_to_json
from bitvit.program.schema import TENSOR_DTYPES, AnyArray, Preprocessing, Program

__all__ = ["check_preprocessing", "checked", "validate"]


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


def check_preprocessing(preprocessing: Preprocessing) -> None:
    """Refuse a preprocessing that no file could have.

    Raises:
        PreprocessingError: an entry violates a rule of ``docs/format.md``.
    """
    try:
        text = dump(preprocessing_to_json(preprocessing))
    except (TypeError, ValueError) as error:
        raise PreprocessingError(f"cannot be expressed in JSON: {error!s:.200}") from None
    _core.check_preprocessing(text)

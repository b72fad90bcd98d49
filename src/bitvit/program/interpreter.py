"""The Program as slow, plain NumPy. It defines the result that every engine must reproduce bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.program.call import Call
from bitvit.program.errors import OperandError
from bitvit.program.operators import OPERATORS
from bitvit.program.schema import AnyArray, Op, Program, Value
from bitvit.program.table import check_operator
from bitvit.program.validation import validate

__all__ = ["Interpreter", "run_operator"]


class Interpreter:
    """Runs a Program image by image.

    Bits are ``numpy.bool_`` (True is bit 1), ternary values ``int8``, all else as in the file.
    """

    def __init__(self, program: Program, tensors: Mapping[str, AnyArray]) -> None:
        """Validate the Program.

        Raises:
            ProgramError: the Program or a tensor violates a rule of ``docs/format.md``.
        """
        validate(program, tensors)
        self.program = program
        self._tensors = tensors

    def run(self, images: npt.NDArray[np.uint8]) -> AnyArray:
        """Run a batch, each image on its own: uint8 [B, H, W, C] -> logits float32 [B, classes].

        For segmentation the class of each pixel, int32 [B, pixels].

        Raises:
            OperandError: the images have another type or shape.
        """
        if images.ndim != 4:
            raise OperandError(f"images have shape {list(images.shape)}, expected [B, H, W, 3]")
        output = self.program.values[self.program.output]
        results = np.empty((len(images), output.shape[-1]), dtype=np.int32 if output.type == "i32" else np.float32)
        for i, image in enumerate(images):
            results[i] = self.values(image)[self.program.output].reshape(-1)
        return results

    def values(self, image: npt.NDArray[np.uint8]) -> dict[str, AnyArray]:
        """Every value of the Program for one image, by name. uint8 [H, W, 3] -> arrays of the declared shapes.

        Raises:
            OperandError: the image has another type or shape.
        """
        expected = self.program.values[self.program.input].shape
        if image.dtype != np.uint8 or image.shape != expected:
            raise OperandError(f"the image is {image.dtype} {list(image.shape)}, expected uint8 {list(expected)}")
        arrays: dict[str, AnyArray] = {self.program.input: image}
        for op in self.program.ops:
            results = _run(
                op,
                [arrays[name] for name in op.inputs],
                [self.program.values[name] for name in op.inputs],
                [self.program.values[name] for name in op.outputs],
                {parameter: self._tensors[name] for parameter, name in op.tensors.items()},
            )
            arrays.update(zip(op.outputs, results, strict=True))
        return arrays


def run_operator(
    kind: str,
    inputs: Sequence[AnyArray],
    input_values: Sequence[Value],
    output_values: Sequence[Value],
    attrs: Mapping[str, Any] | None = None,
    tensors: Mapping[str, AnyArray] | None = None,
) -> list[AnyArray]:
    """Check and run one operator on its own, for one image; ``tensors`` maps its parameter names to arrays.

    Arrays are in the forms of `Interpreter`.

    Raises:
        ProgramError: the operator violates a rule of ``docs/format.md``.
    """
    tensors = tensors or {}
    op = Op(
        kind,
        tuple(f"input {i}" for i in range(len(inputs))),
        tuple(f"output {i}" for i in range(len(output_values))),
        attrs or {},
        {name: name for name in tensors},
    )
    check_operator(op, input_values, output_values, tensors)
    return _run(op, inputs, input_values, output_values, tensors)


def _run(
    op: Op,
    inputs: Sequence[AnyArray],
    input_values: Sequence[Value],
    output_values: Sequence[Value],
    tensors: Mapping[str, AnyArray],
) -> list[AnyArray]:
    call = Call(tuple(inputs), tuple(value.type for value in input_values), op.attrs, tensors, tuple(output_values))
    # Finite parameters can still overflow; the result is then unspecified, but it is not a reason to warn or stop.
    with np.errstate(all="ignore"):
        results = list(OPERATORS[op.op](call))
    for result, value in zip(results, output_values, strict=True):
        assert result.shape == value.shape, (op.op, result.shape, value.shape)
    return results

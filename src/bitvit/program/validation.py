"""Whether a Program and its tensors are what ``docs/format.md`` says. Whatever runs a Program relies on this check."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from bitvit.program.errors import (
    LabelsError,
    MissingTensorError,
    OperandError,
    PreprocessingError,
    SizeLimitError,
    TensorTypeError,
    UnknownOperatorError,
    UnusedTensorError,
    ValueDefinitionError,
)
from bitvit.program.schema import (
    INTERPOLATIONS,
    MAX_DIMENSION,
    MAX_ELEMENTS,
    MAX_IMAGE_SIDE,
    MAX_OPERATORS,
    MAX_RANK,
    MAX_TOTAL_ELEMENTS,
    VALUE_TYPES,
    AnyArray,
    BitvitFile,
    Op,
    Preprocessing,
    Program,
)
from bitvit.program.table import check_operator, declarations

TENSOR_DTYPES: dict[str, np.dtype[np.generic]] = {
    "F32": np.dtype("<f4"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}


def validate(program: Program, tensors: Mapping[str, AnyArray]) -> None:
    """Raise the `ProgramError` named after the first violated rule; return nothing if there is none."""
    _check_sizes(program)
    _check_ends(program)
    written = {program.input}
    used_tensors: set[str] = set()
    for index, op in enumerate(program.ops):
        _check_operator_in_place(program, tensors, index, op, written)
        used_tensors.update(op.tensors.values())
    for name in program.values:
        if name not in written:
            raise ValueDefinitionError(f"value {name!r} is declared, but no operator writes it")
    for name in tensors:
        if name not in used_tensors:
            raise UnusedTensorError(f"tensor {name!r} is not used by any operator")


def validate_file(file: BitvitFile) -> None:
    """`validate`, and that preprocessing and labels fit the Program."""
    validate(file.program, file.tensors)
    check_preprocessing(file.preprocessing, file.program.values[file.program.input].shape)
    n_logits = file.program.values[file.program.output].shape[-1]
    for label in file.labels:
        if not isinstance(label, str):
            raise LabelsError(f"label {label!r:.80} is no text")
    if len(file.labels) != n_logits:
        raise LabelsError(f"{len(file.labels)} labels for {n_logits} logits")


def check_preprocessing(preprocessing: Preprocessing, image_shape: tuple[int, ...]) -> None:
    """The preprocessing must be complete, and give an image of the Program's input shape [H, W, 3]."""
    if tuple(preprocessing.image_size) != tuple(image_shape[:2]):
        raise PreprocessingError(
            f"image_size {list(preprocessing.image_size)} is not that of the Program's input, {list(image_shape[:2])}"
        )
    if not max(preprocessing.image_size) <= preprocessing.resize_size <= MAX_IMAGE_SIDE:
        raise PreprocessingError(
            f"resize_size {preprocessing.resize_size} must be from {max(preprocessing.image_size)}, the larger side of "
            f"image_size, to {MAX_IMAGE_SIDE}"
        )
    if preprocessing.interpolation not in INTERPOLATIONS:
        raise PreprocessingError(f"unknown interpolation {preprocessing.interpolation!r:.80}")
    for name, numbers in (("mean", preprocessing.mean), ("std", preprocessing.std)):
        if len(numbers) != 3 or not all(math.isfinite(number) for number in numbers):
            raise PreprocessingError(f"{name} must be three finite numbers")
    if not all(number > 0 for number in preprocessing.std):
        raise PreprocessingError("std must be positive")


def _check_sizes(program: Program) -> None:
    if len(program.ops) > MAX_OPERATORS:
        raise SizeLimitError(f"{len(program.ops)} operators, at most {MAX_OPERATORS} are allowed")
    total = 0
    for name, value in program.values.items():
        if value.type not in VALUE_TYPES:
            raise OperandError(f"value {name!r} has the unknown type {value.type!r:.80}")
        if not 1 <= len(value.shape) <= MAX_RANK:
            raise SizeLimitError(f"value {name!r} has {len(value.shape)} axes, expected 1 to {MAX_RANK}")
        if not all(1 <= size <= MAX_DIMENSION for size in value.shape):
            raise SizeLimitError(f"value {name!r} has shape {list(value.shape)}; sizes go from 1 to {MAX_DIMENSION}")
        count = math.prod(value.shape)
        total += count
        if count > MAX_ELEMENTS or total > MAX_TOTAL_ELEMENTS:
            raise SizeLimitError(f"value {name!r} has {count} elements, which is beyond the limits of the format")


def _check_ends(program: Program) -> None:
    for name in (program.input, program.output):
        if name not in program.values:
            raise ValueDefinitionError(f"value {name!r:.80} is not declared")
    image = program.values[program.input]
    if image.type != "u8" or len(image.shape) != 3 or image.shape[2] != 3:
        raise OperandError(f"the Program's input is {image.type} {list(image.shape)}, expected u8 [H, W, 3]")
    if max(image.shape[:2]) > MAX_IMAGE_SIDE:
        raise SizeLimitError(f"images of {image.shape[0]} x {image.shape[1]} are beyond the limit {MAX_IMAGE_SIDE}")
    logits = program.values[program.output]
    if logits.type != "f32" or len(logits.shape) != 2 or logits.shape[0] != 1:
        raise OperandError(f"the Program's output is {logits.type} {list(logits.shape)}, expected f32 [1, classes]")


def _check_operator_in_place(
    program: Program, tensors: Mapping[str, AnyArray], index: int, op: Op, written: set[str]
) -> None:
    """Look up the operator's values and tensors and check it; its outputs are added to ``written``."""
    where = f"operator {index} ({op.op!r:.80})"
    if op.op not in declarations():
        raise UnknownOperatorError(f"operator {index}: unknown kind {op.op!r:.80}; a newer bitvit may know it")
    for name in (*op.inputs, *op.outputs):
        if name not in program.values:
            raise ValueDefinitionError(f"{where}: value {name!r:.80} is not declared")
    for name in op.inputs:
        if name not in written:
            raise ValueDefinitionError(f"{where}: value {name!r} is read before it is written")
    for name in op.outputs:
        if name in written:
            raise ValueDefinitionError(f"{where}: value {name!r} is written a second time")
        written.add(name)
    for parameter, name in op.tensors.items():
        if name not in tensors:
            raise MissingTensorError(f"{where}: tensor {name!r:.80} (parameter {parameter!r:.80}) is not in the file")
        if tensors[name].dtype not in TENSOR_DTYPES.values():
            raise TensorTypeError(f"{where}: tensor {name!r} has the element type {tensors[name].dtype}")
        if not all(1 <= size <= MAX_DIMENSION for size in tensors[name].shape):
            raise SizeLimitError(f"{where}: tensor {name!r} has shape {list(tensors[name].shape)}")
    check_operator(
        op,
        [program.values[name] for name in op.inputs],
        [program.values[name] for name in op.outputs],
        {parameter: tensors[name] for parameter, name in op.tensors.items()},
        index,
    )

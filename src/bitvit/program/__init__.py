"""The ``.bitvit`` file: schema, reader, writer, validation, and the NumPy interpreter that defines every result.

Only NumPy and the compiled core are needed. ``docs/format.md`` is the same contract in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitvit.lazy_attributes import lazy_attributes
from bitvit.program.bits import from_stored, pack_bits, sign_bits, stored_shape, to_stored, unpack_bits
from bitvit.program.errors import (
    ChecksumError,
    LabelsError,
    MetadataError,
    MissingTensorError,
    NewerFormatError,
    NonFiniteError,
    NotABitvitFileError,
    OlderFormatError,
    OperandError,
    OperatorAttributeError,
    OperatorParameterError,
    PreprocessingError,
    ProgramError,
    SizeLimitError,
    TensorContentError,
    TensorShapeError,
    TensorTypeError,
    TruncatedFileError,
    UnknownOperatorError,
    UnreadableFileError,
    UnusedTensorError,
    ValueDefinitionError,
)
from bitvit.program.reader import decode, open_model, read_bytes, read_file
from bitvit.program.schema import (
    FORMAT_VERSION,
    INTERPOLATIONS,
    VALUE_TYPES,
    BitvitFile,
    Op,
    Preprocessing,
    Program,
    Value,
)
from bitvit.program.table import Declaration, declarations, operator_cost
from bitvit.program.validation import check_preprocessing, validate
from bitvit.program.writer import to_bytes, validate_file, write_file

if TYPE_CHECKING:
    from bitvit.program.interpreter import Interpreter, run_operator
    from bitvit.program.operators import OPERATORS

__all__ = [
    "FORMAT_VERSION",
    "INTERPOLATIONS",
    "OPERATORS",
    "VALUE_TYPES",
    "BitvitFile",
    "ChecksumError",
    "Declaration",
    "Interpreter",
    "LabelsError",
    "MetadataError",
    "MissingTensorError",
    "NewerFormatError",
    "NonFiniteError",
    "NotABitvitFileError",
    "OlderFormatError",
    "Op",
    "OperandError",
    "OperatorAttributeError",
    "OperatorParameterError",
    "Preprocessing",
    "PreprocessingError",
    "Program",
    "ProgramError",
    "SizeLimitError",
    "TensorContentError",
    "TensorShapeError",
    "TensorTypeError",
    "TruncatedFileError",
    "UnknownOperatorError",
    "UnreadableFileError",
    "UnusedTensorError",
    "Value",
    "ValueDefinitionError",
    "check_preprocessing",
    "declarations",
    "decode",
    "from_stored",
    "open_model",
    "operator_cost",
    "pack_bits",
    "read_bytes",
    "read_file",
    "run_operator",
    "sign_bits",
    "stored_shape",
    "to_bytes",
    "to_stored",
    "unpack_bits",
    "validate",
    "validate_file",
    "write_file",
]

# The meanings of the operators are a module each, and a prediction needs none of them.
__getattr__ = lazy_attributes(
    __name__,
    {
        "Interpreter": "bitvit.program.interpreter",
        "OPERATORS": "bitvit.program.operators",
        "run_operator": "bitvit.program.interpreter",
    },
)

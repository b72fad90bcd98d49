"""One error for each rule that a ``.bitvit`` file can violate (``docs/format.md``)."""

from __future__ import annotations

from bitvit.errors import BitvitError


class ProgramError(BitvitError):
    """A ``.bitvit`` file, or a Program, violates ``docs/format.md``."""


class UnreadableFileError(ProgramError):
    """The file does not exist, is not a regular file, or the operating system refuses to read it."""


class NotABitvitFileError(ProgramError):
    """The file is not a safetensors container, or was not written by bitvit."""


class TruncatedFileError(ProgramError):
    """The file is shorter than its header says."""


class ChecksumError(ProgramError):
    """The content does not match the checksum: the file was damaged or edited."""


class NewerFormatError(ProgramError):
    """The file has a later format version than this bitvit reads."""


class OlderFormatError(ProgramError):
    """The file has a format version from before the first release."""


class MetadataError(ProgramError):
    """A metadata entry is missing, is not valid JSON, or has a field that is missing, unknown or of the wrong type."""


class SizeLimitError(ProgramError):
    """A size, or a sum of sizes or of work, is zero, negative or beyond the limits of the format."""


class ValueDefinitionError(ProgramError):
    """A value is undeclared, never written, written twice, or read before it is written."""


class UnknownOperatorError(ProgramError):
    """The Program uses an operator that this bitvit does not know."""


class OperandError(ProgramError):
    """An operator has the wrong number, types or shapes of inputs or outputs."""


class OperatorAttributeError(ProgramError):
    """An attribute of an operator is missing, unknown or out of range."""


class OperatorParameterError(ProgramError):
    """A parameter of an operator is missing or unknown."""


class MissingTensorError(ProgramError):
    """The Program names a tensor that the file does not contain."""


class UnusedTensorError(ProgramError):
    """The file holds a tensor that the Program does not use."""


class TensorTypeError(ProgramError):
    """A tensor does not have the element type that its operator needs."""


class TensorShapeError(ProgramError):
    """A tensor does not have the shape that its operator needs."""


class NonFiniteError(ProgramError):
    """A number is not finite."""


class TensorContentError(ProgramError):
    """A tensor holds values that its operator does not allow, such as 1 bits in the padding."""


class LabelsError(ProgramError):
    """Labels or colors are malformed, or are not as many as the classes of the Program's output."""


class PreprocessingError(ProgramError):
    """The description of the preprocessing is wrong or does not fit the Program's input."""

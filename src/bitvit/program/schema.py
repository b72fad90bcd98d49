"""The Program and its file as plain data: dataclasses without behaviour beyond equality.

The meaning of every field is in ``docs/format.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

FORMAT_NAME = "bitvit"
FORMAT_VERSION = 2

ValueType: TypeAlias = Literal["u8", "f32", "i32", "sign", "mask", "ternary"]
VALUE_TYPES: tuple[ValueType, ...] = get_args(ValueType)

Interpolation: TypeAlias = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)

Fit: TypeAlias = Literal["crop", "stretch"]

AnyArray: TypeAlias = npt.NDArray[Any]
F32Array: TypeAlias = npt.NDArray[np.float32]
BitArray: TypeAlias = npt.NDArray[np.bool_]

TENSOR_DTYPES: dict[str, np.dtype[np.generic]] = {
    "F32": np.dtype("<f4"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}

# The core checks these and all other limits (cpp/program/limits.h, docs/format.md).
MAX_FILE_BYTES = 1 << 28
MAX_RANK = 4
MAX_DIMENSION = 1 << 24  # every index and every count of bits is exact in binary32
MAX_IMAGE_SIDE = 1 << 12


@dataclass(frozen=True)
class Value:
    """Type and shape of one value: the input of the Program or the result of an operator. There is no batch axis."""

    type: ValueType
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Op:
    """One operator: its kind, the values it reads and writes, its attributes, and the tensors of its parameters."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Lists are welcome where a Program is built by hand.
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "outputs", tuple(self.outputs))


@dataclass
class Program:
    """A network for one image: operators in execution order over typed values."""

    values: dict[str, Value]
    ops: list[Op]
    input: str
    output: str


@dataclass(frozen=True)
class Preprocessing:
    """How to turn any image into the Program's input.

    ``fit`` "crop": the shorter side is resized to ``resize_size`` with ``interpolation``, then ``image_size`` (height,
    width) is cut from the centre. "stretch": the whole image is resized to ``image_size``, whatever its aspect ratio;
    ``resize_size`` is then the larger side of ``image_size``. ``channels`` is 1 (grey), 3 (RGB) or 4 (RGBA). ``mean``
    and ``std``, one number for each channel (of pixels scaled to 0..1), are what the network was trained with; the
    Program has them built in. ``value_range`` (low, high): the pixel values, of images deeper than 8 bits, that become
    0 and 255.
    """

    image_size: tuple[int, int]
    resize_size: int
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    channels: int = 3
    fit: Fit = "crop"
    value_range: tuple[float, float] | None = None


@dataclass
class BitvitFile:
    """Everything that a ``.bitvit`` file holds."""

    program: Program
    tensors: dict[str, AnyArray]
    preprocessing: Preprocessing
    labels: list[str]
    provenance: dict[str, Any] = field(default_factory=dict)
    task: str = "classification"
    colors: list[tuple[int, int, int]] | None = None

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
FORMAT_VERSION = 1

ValueType: TypeAlias = Literal["u8", "f32", "i32", "sign", "mask", "ternary"]
VALUE_TYPES: tuple[ValueType, ...] = get_args(ValueType)

Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Fit: TypeAlias = Literal["crop", "stretch"]
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)

AnyArray: TypeAlias = npt.NDArray[Any]
F32Array: TypeAlias = npt.NDArray[np.float32]
BitArray: TypeAlias = npt.NDArray[np.bool_]

# Sizes beyond these are refused before anything is allocated for them.
MAX_RANK = 4
MAX_DIMENSION = 1 << 24  # every index and every count of bits is exact in binary32
MAX_ELEMENTS = 1 << 28  # of one value
MAX_TOTAL_ELEMENTS = 1 << 30  # of all values of a Program together
MAX_OPERATORS = 1 << 16
MAX_IMAGE_SIDE = 1 << 13


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
    ``resize_size`` is then the larger side of ``image_size``. ``mean`` and ``std`` (of pixels scaled to 0..1) are what
    the network was trained with; the Program has them built in.
    """

    image_size: tuple[int, int]
    resize_size: int
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    fit: Fit = "crop"


@dataclass
class BitvitFile:
    """Everything that a ``.bitvit`` file holds."""

    program: Program
    tensors: dict[str, AnyArray]
    preprocessing: Preprocessing
    labels: list[str]
    provenance: dict[str, Any] = field(default_factory=dict)

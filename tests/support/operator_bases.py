"""What all random uses of operators are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bitvit.program import Value, sign_bits, to_stored
from bitvit.program.schema import AnyArray

Rng = np.random.Generator

# Around bytes, 32- and 64-bit words, and the 16 lanes of sum16.
WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 36, 63, 64, 65, 100, 127, 128, 129, 192, 257)


@dataclass
class OperatorCase:
    """One operator with inputs for one image, in the forms of the interpreter."""

    kind: str
    inputs: list[AnyArray]
    input_values: list[Value]
    output_values: list[Value]
    attrs: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, AnyArray] = field(default_factory=dict)

    def stored_inputs(self) -> list[AnyArray]:
        """The inputs in their stored forms, without a batch axis."""
        return [to_stored(value.type, array) for value, array in zip(self.input_values, self.inputs, strict=True)]


def f32(rng: Rng, *shape: int, ties: bool = True) -> AnyArray:
    """Normal numbers; with ``ties`` about half are rounded to quarters, some of them to -0.0 and +0.0."""
    x = rng.standard_normal(shape).astype(np.float32)
    if ties:
        x = np.where(rng.random(shape) < 0.5, np.round(x * 4) / 4, x).astype(np.float32)
    return x


def positive(rng: Rng, *shape: int) -> AnyArray:
    return rng.uniform(0.05, 2.0, shape).astype(np.float32)


def bits(rng: Rng, *shape: int) -> AnyArray:
    """Random bits with a random share of ones, now and then all alike."""
    share = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0], p=[0.05, 0.2, 0.5, 0.2, 0.05])
    return rng.random(shape) < share


def weight_bits(rng: Rng, n_outputs: int, n_inputs: int) -> AnyArray:
    return sign_bits(np.where(bits(rng, n_outputs, n_inputs), -1, 1))


def exponential_table(rng: Rng, width: int) -> AnyArray:
    """exp(-2 s p) for p = 0..width, as the export writes it for some scale s."""
    steepness = float(rng.uniform(0.02, 1.0))
    return np.exp(-2.0 * steepness * np.arange(width + 1)).astype(np.float32)

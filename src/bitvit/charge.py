"""Operation counts: what a layer's work is charged (docs/complexity.md). Plain numbers, without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

# Binary multiply-adds that count as one operation: a 64-bit word of them is one xor and one popcount.
BOPS_PER_OP = 64

# Costs per element of operations that the paper's tables leave out.
LAYER_NORM = 5  # sum, subtract, multiply-add of squares, divide, multiply-add of weight and bias
SOFTMAX = 6  # scale, maximum, subtract, exponential, sum, divide
GELU = 2  # the normal distribution function, multiply

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Charge:
    """Operations of one layer on one image. A multiply-add counts 1.

    Attributes:
        bops: binary multiply-adds.
        flops: float operations that the paper's tables count (GSB, Table IX).
        other_flops: float operations that they leave out: normalization, softmax, residual sums, activations.
    """

    bops: int = 0
    flops: int = 0
    other_flops: int = 0

    def __add__(self, other: Charge) -> Charge:
        return Charge(self.bops + other.bops, self.flops + other.flops, self.other_flops + other.other_flops)

    @property
    def ops(self) -> float:
        """`OPs = BOPs / 64 + FLOPs`, without `other_flops`, as in the paper."""
        return self.bops / BOPS_PER_OP + self.flops


@dataclass(frozen=True)
class Call:
    """Shapes of the tensors of one call of a module; the first axis is the batch, which is 1.

    Attributes:
        inputs: of all positional arguments that are tensors.
        output: of the result, or of the first one.
    """

    inputs: tuple[Shape, ...]
    output: Shape

    @property
    def input(self) -> Shape:
        """Return the shape of the first input."""
        return self.inputs[0]

    @property
    def elements_in(self) -> int:
        """Return the number of elements of the first input."""
        return prod(self.input)

    @property
    def elements_out(self) -> int:
        """Return the number of elements of the output."""
        return prod(self.output)


class NoOwnWork:
    """Mixin of modules that compute nothing themselves: they move elements, or leave the work to their children."""

    def charge(self, call: Call) -> Charge:
        """Count nothing."""
        del call
        return Charge()

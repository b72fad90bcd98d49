"""Operation counts, and how they add up."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

# Binary multiply-adds that count as one operation: a 64-bit word of them is one xor and one popcount.
BOPS_PER_OP = 64


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
class Cost:
    """Charge, parameters and bytes of a layer or of several together.

    Attributes:
        charge: operations on one image.
        parameters: trained numbers, binary ones included.
        binary_parameters: those of them that are stored in one bit.
        float_bytes: size of all parameters in float32, as a training checkpoint holds them.
        packed_bytes: size of its tensors in a `.bitvit` file; 0 for a model that has no packed form.
    """

    charge: Charge = Charge()
    parameters: int = 0
    binary_parameters: int = 0
    float_bytes: int = 0
    packed_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        numbers = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
            if field.name != "charge"
        }
        return Cost(self.charge + other.charge, **numbers)

    def to_dict(self) -> dict[str, int | float]:
        """Return all figures by name, the charge flattened and `ops` added."""
        numbers = asdict(self)
        del numbers["charge"]
        return {**asdict(self.charge), "ops": self.charge.ops, **numbers}


def total(costs: list[Cost]) -> Cost:
    """Return the sum of costs."""
    result = Cost()
    for cost in costs:
        result = result + cost
    return result

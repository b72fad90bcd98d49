"""Costs of layers: operations, parameters and bytes, and how they add up."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields

from bitvit.charge import Charge


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

    charge: Charge = field(default_factory=Charge)
    parameters: int = 0
    binary_parameters: int = 0
    float_bytes: int = 0
    packed_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        numbers = {
            entry.name: getattr(self, entry.name) + getattr(other, entry.name)
            for entry in fields(self)
            if entry.name != "charge"
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

"""All operators, one file per group; `OPERATORS` maps names to specifications."""

from __future__ import annotations

from bitvit.program.operators import attention, binary_products, bits, elementwise, grid, image, rearrange, statistics
from bitvit.program.registry import OperatorSpec

_GROUPS = (image, elementwise, bits, binary_products, attention, statistics, grid, rearrange)

OPERATORS: dict[str, OperatorSpec] = {spec.name: spec for group in _GROUPS for spec in group.SPECS}

"""gelu: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program.schema import AnyArray
from tests.support.loops import HALF, ONE, F, each
from tests.support.operator_cases import OperatorCase, Rng, one_to_one


def gelu_of(x: np.float32) -> np.float32:
    g = [F(float.fromhex(h)) for h in (
        "0x1.987caep-5", "0x1.5aa422p-6", "0x1.a9e4f0p-9", "0x1.f4f3eap-15", "0x1.5b26c8p-15", "0x1.a90044p-18"
    )]  # fmt: skip
    z = -x if x < 0 else x
    y = g[5]
    for c in (g[4], g[3], g[2], g[1], g[0], ONE):
        y = y * z + c
    y = y * y
    y = y * y
    y = y * y
    y = y * y
    t = HALF / y
    return x * (t if x < 0 else ONE - t)


def case_gelu(rng: Rng) -> OperatorCase:
    case = one_to_one(rng, "gelu", {})
    case.inputs[0] = case.inputs[0] * rng.choice([1e-20, 0.01, 1.0, 3.0, 10.0, 1e4]).astype(np.float32)
    return case


def loop_gelu(c: OperatorCase) -> list[AnyArray]:
    with np.errstate(all="ignore"):
        return [each(c, lambda v, n, k: gelu_of(v))]

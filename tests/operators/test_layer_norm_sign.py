"""layer_norm_sign: random uses, a loop over single numbers, edges, and results by hand."""

from __future__ import annotations

import numpy as np

from bitvit.program import Value
from bitvit.program.schema import AnyArray
from tests.support.by_hand import run
from tests.support.loops import each_bit, normalized
from tests.support.operator_cases import OperatorCase, Rng, random_eps, to_bits


def case_layer_norm_sign(rng: Rng) -> OperatorCase:
    case = to_bits(rng, "layer_norm_sign", "sign", {"eps": random_eps(rng)}, "weight", "threshold")
    if rng.random() < 0.2:
        case.inputs[0][0] = 1.25  # a row without variance
    return case


def loop_layer_norm_sign(c: OperatorCase) -> list[AnyArray]:
    d, s = normalized(c)
    return each_bit(c, lambda v, n, k: d[n][k] * c.tensors["weight"][k] < c.tensors["threshold"][k] * s[n])


def test_layer_norm_sign_agrees_with_layer_norm_and_sign() -> None:
    rng = np.random.default_rng(5)
    x = rng.standard_normal((50, 33)).astype(np.float32)
    weight, bias, shift = (rng.standard_normal(33).astype(np.float32) for _ in range(3))
    wide = x.astype(np.float64)
    normal = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-6)
    argument = normal * weight + bias + shift
    threshold = -(bias.astype(np.float64) + shift)
    attrs = {"eps": 1e-6}
    bits = run(
        "layer_norm_sign",
        [("f32", x)],
        Value("sign", (50, 33)),
        attrs=attrs,
        weight=weight,
        threshold=threshold.astype(np.float32),
    )[0]
    is_clear = np.abs(argument) > 1e-4  # elsewhere rounding may decide
    assert is_clear.mean() > 0.99
    np.testing.assert_array_equal(bits[is_clear], argument[is_clear] < 0)

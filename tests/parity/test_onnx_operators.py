"""Every operator as ONNX, in ONNX Runtime, against the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from bitvit.program import declarations, run_operator
from bitvit.program.schema import AnyArray
from tests.support.onnx_session import session_of
from tests.support.operator_cases import OperatorCase
from tests.support.operator_homes import CASES, EDGES, operator_case

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from bitvit.interchange.onnx_export import OPSET  # noqa: E402
from bitvit.interchange.onnx_graph import OnnxGraph  # noqa: E402
from bitvit.interchange.onnx_operators import OnnxCall, writers  # noqa: E402

# Two orders of a sum of n floats differ by at most 2 n 2^-24 of the sum of the absolute values; the widest case has
# n = 257 channels. (The engine's own GELU stays within it as well: 37 x 2^-24 were seen, and 95 for the longest mean.)
ROUNDING = 2 * 257 * 2.0**-24

# These compare a rounded number with another to get a bit. One that lies within `ROUNDING` may fall the other way: of
# 5000 numbers of the size of 1 less than one is so near. All others are exact.
COMPARE_ROUNDED = {
    "attention_masks",
    "attention_masks_statistics",
    "layer_norm_sign",
    "mask_statistics",
    "sign_statistics",
}


def numbers(type_: str, array: AnyArray) -> AnyArray:
    """A value of the interpreter as ONNX has it."""
    return (1 - 2 * array.astype(np.float32)) if type_ == "sign" else array.astype(np.float32)


def run_in_onnx(case: OperatorCase, batch: int) -> list[AnyArray]:
    helper = onnx.helper
    graph = OnnxGraph("input_0" if case.inputs else "images")
    names = [f"input_{i}" for i in range(len(case.inputs))]
    graph.begin(case.kind)
    call = OnnxCall(tuple(names), tuple(case.input_values), case.attrs, case.tensors, tuple(case.output_values))
    outputs = writers()[case.kind](graph, call)
    feeds = {
        name: np.stack([numbers(value.type, array)] * batch)
        for name, value, array in zip(names, case.input_values, case.inputs, strict=True)
    } or {"images": np.zeros((batch, 1), np.float32)}
    kinds = [6 if value.type == "i32" else 1 for value in case.output_values]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            case.kind,
            [helper.make_tensor_value_info(name, 1, ["batch", *x.shape[1:]]) for name, x in feeds.items()],
            [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(outputs, kinds, strict=True)],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=9,
    )
    found: list[AnyArray] = session_of(model).run(None, feeds)
    return found


def check(case: OperatorCase, where: str) -> None:
    expected = run_operator(case.kind, case.inputs, case.input_values, case.output_values, case.attrs, case.tensors)
    found = run_in_onnx(case, batch=2)
    for value, wanted, got in zip(case.output_values, expected, found, strict=True):
        assert got.shape == (2, *value.shape), where
        if value.type == "f32":
            limit = ROUNDING * max(1.0, float(np.abs(wanted).max(initial=0)))
            # An image's answer does not depend on its neighbours, up to how the runtime divides a sum.
            np.testing.assert_allclose(got[0], got[1], rtol=0, atol=limit, err_msg=where)
            np.testing.assert_allclose(got[0], wanted, rtol=0, atol=limit, err_msg=where)
        else:
            n_other = int(np.sum(got[0] != numbers(value.type, wanted)))
            assert n_other <= (1 if case.kind in COMPARE_ROUNDED else 0), where


def test_every_operator_has_an_onnx_form() -> None:
    assert writers().keys() == declarations().keys() == CASES.keys()


@pytest.mark.parametrize("kind", sorted(CASES))
def test_operator_on_random_cases(kind: str) -> None:
    for seed in range(8):
        check(operator_case(kind, seed), f"{kind}, seed {seed}")


# ONNX says nothing about the largest of numbers that are none.
@pytest.mark.parametrize("name", [name for name in EDGES if "NaN" not in name])
def test_operator_on_edges(name: str) -> None:
    check(EDGES[name](np.random.default_rng(1)), name)

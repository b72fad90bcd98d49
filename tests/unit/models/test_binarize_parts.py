"""Networks of which only some kinds of modules are binary, and stages in which only some weights are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bitvit.complexity import complexity
from bitvit.errors import ExportError, UsageError
from bitvit.export import pack
from bitvit.layers import BinaryAttention, QuantLinear, calibrate, is_comparison_only, is_staged
from bitvit.models import BinarizationScheme, binarize, create_model, get_stage, resolve_scheme, set_stage
from bitvit.models.scheme import PARTS
from bitvit.quantizers import TensorSignWeight

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def teacher() -> nn.Module:
    torch.manual_seed(0)
    return create_model("deit_test_distilled_patch4_16", num_classes=4).eval()


def bits_of(model: nn.Module) -> dict[str, set[int]]:
    """Return the bits of all estimators of each kind, without those of first and last layers."""
    found: dict[str, set[int]] = {part: set() for part in PARTS}
    for block in model.blocks:  # type: ignore[union-attr]
        for module in block.modules():
            if isinstance(module, QuantLinear):
                assert module.input_quantizer is not None
                found["weights"].add(module.weight_quantizer.bits)
                found["inputs"].add(module.input_quantizer.bits)
            if isinstance(module, BinaryAttention):
                found["query_key"] |= {module.query.bits, module.key.bits}
                found["attention"].add(module.attention.bits)
                found["value"].add(module.value.bits)
    return found


@pytest.mark.parametrize("scheme", ["gsb", "baseline"])
@pytest.mark.parametrize("part", PARTS)
def test_one_kind_of_module_is_binary_and_learns(teacher: nn.Module, part: str, scheme: str) -> None:
    chosen = resolve_scheme({"binary_parts": [part], "first_last_bits": 32}, resolve_scheme(scheme))
    student = binarize(teacher, chosen)
    assert bits_of(student) == {kind: {1} if kind == part else {32} for kind in PARTS}
    set_stage(student, "full")
    calibrate(student, IMAGES)
    expected, found = teacher(IMAGES), student(IMAGES)
    assert not torch.allclose(found, expected, atol=1e-5)
    student(IMAGES).square().sum().backward()
    assert all(value.grad is not None for name, value in student.named_parameters() if ".qkv.weight" in name)
    assert is_staged(student)
    assert is_comparison_only(student)
    with pytest.raises(ExportError, match="comparison"):
        pack(student)


def test_without_weights_and_activations_of_one_bit_it_is_the_teacher(teacher: nn.Module) -> None:
    student = binarize(teacher, {"binary_parts": ["attention"], "first_last_bits": 32})
    set_stage(student, "weights")
    torch.testing.assert_close(student(IMAGES), teacher(IMAGES), atol=1e-5, rtol=1e-4)


def test_operations_are_counted_as_what_they_are(teacher: nn.Module) -> None:
    def bops(parts: list[str]) -> float:
        return float(complexity(binarize(teacher, {"binary_parts": parts})).total.to_dict()["bops"])

    assert bops(["weights"]) == bops(["inputs"]) == bops(["attention"]) == bops(["value"]) == 0
    scores, products = bops(["query_key"]), bops(["attention", "value"])
    assert 0 < scores < products
    assert bops(["weights", "inputs"]) + scores + products == bops(list(PARTS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"binary_parts": []}, "binary_parts is"),
        ({"binary_parts": "attention"}, "binary_parts is 'attention'; choose a list of weights, inputs"),
        ({"binary_parts": ["mlp"]}, "binary_parts has 'mlp'; choose from weights"),
        ({"attention_start": 0}, "attention_start is 0; choose a number above 0"),
        ({"attention_start": "2"}, "attention_start is '2'"),
        ({"attention_start": True}, "attention_start is True"),
        ({"initial_scales": "paper"}, "choose one of 'fitted', 'release'"),
        ({"gradients": "lsq"}, "choose one of 'paper', 'release'"),
        ({"first_stage": "none"}, "choose one of 'all', 'mlp'"),
        ({"gradients": "release", "value_thresholds": "learned"}, 'is for value_thresholds "paper"'),
    ],
    ids=str,
)
def test_schemes_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_scheme(changes)


def test_a_scheme_survives_plain_values() -> None:
    scheme = BinarizationScheme(binary_parts=("value", "attention"), attention_start=2)
    assert scheme.binary_parts == ("attention", "value")
    assert BinarizationScheme(**scheme.to_dict()) == scheme
    assert not scheme.is_whole
    assert BinarizationScheme().is_whole


def test_only_weights_of_the_mlps_are_binary_in_the_releases_first_stage() -> None:
    torch.manual_seed(0)
    model = create_model("test_gsb_deit_release")
    set_stage(model, "weights")
    assert get_stage(model) == "weights"
    for block in model.blocks:  # type: ignore[union-attr]
        for layer, is_real in (
            (block.attn.qkv, True),
            (block.attn.proj, True),
            (block.mlp.fc1, False),
            (block.mlp.fc2, False),
        ):
            levels, _ = layer.binary_weight()
            assert levels.equal(layer.weight) == is_real
            assert isinstance(layer.weight_quantizer, TensorSignWeight)
    model.eval()(IMAGES).sum().backward()
    set_stage(model, "full")
    calibrate(model, IMAGES)
    assert set(model.blocks[0].attn.qkv.binary_weight()[0].unique().tolist()) == {-1.0, 1.0}  # type: ignore[union-attr,index]
    assert get_stage(model) == "full"
    pack(model.eval())

"""The full-precision baseline of a binary model is the model that was binarized."""

from __future__ import annotations

import pytest
import timm
import torch

from bitvit import binarize
from bitvit.bench.float_twin import float_twin
from bitvit.complexity import complexity
from bitvit.models import create_model, teacher_of


@pytest.mark.parametrize("scheme", ["gsb", "baseline"])
def test_twin_of_a_binarized_model_is_that_model(scheme: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model("deit_test_distilled_patch4_16").eval()
    twin = float_twin(binarize(model, scheme))
    assert {type(module) for module in twin.modules()} == {type(module) for module in model.modules()}
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(twin(images), model(images))


@pytest.mark.parametrize("name", ["gsb_deit_micro_patch4_32", "test_gsb_deit_odd", "test_binary_deit"])
def test_twin_of_a_registered_student_has_its_teachers_shape(name: str) -> None:
    teacher = create_model(str(teacher_of(name)))
    twin = float_twin(create_model(name))
    assert {key: value.shape for key, value in twin.state_dict().items()} == {
        key: value.shape for key, value in teacher.state_dict().items()
    }


def test_the_student_stays_binary() -> None:
    student = create_model("test_gsb_deit")
    kinds = [type(module) for module in student.modules()]
    float_twin(student)
    assert [type(module) for module in student.modules()] == kinds


@pytest.mark.parametrize("name", ["test_bhvit", "test_bhvit_gsb", "test_binaryvit", "test_reactdeit_all"])
def test_twin_of_a_pyramid_does_the_same_products_in_float(name: str) -> None:
    student = create_model(name).eval()
    twin = float_twin(student)
    binary, real = (
        complexity(student).total.charge,
        complexity(twin, input_size=complexity(name).input_size).total.charge,
    )
    assert real.bops == 0
    # Attention that is a sum of several binary maps is one float product, so the twin may have fewer products.
    assert 0.4 * binary.bops < real.flops < binary.bops + binary.flops
    images = torch.randn(2, *complexity(name).input_size)
    with torch.inference_mode():
        assert torch.isfinite(twin(images)).all()

"""binarize: what is replaced, what is kept, what is refused."""

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import bitvit
from bitvit.errors import UsageError
from bitvit.layers import BinaryAttention, BinaryMlp, QuantConv2d, QuantLinear, is_binary
from bitvit.models import BinarizationScheme, UnsupportedModelError, binarize, create_model, get_stage, set_stage


@pytest.fixture
def teacher() -> nn.Module:
    torch.manual_seed(0)
    return create_model("deit_test_distilled_patch4_16", num_classes=4)


@pytest.mark.parametrize("scheme", ["gsb", "baseline"])
def test_student_keeps_the_teachers_weights_and_names(teacher: nn.Module, scheme: str) -> None:
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    student = bitvit.binarize(teacher, scheme=scheme)
    state = student.state_dict()
    assert set(before) <= set(state)
    for name, value in before.items():
        assert state[name].equal(value), name
        assert teacher.state_dict()[name].equal(value), name
        assert state[name].data_ptr() != teacher.state_dict()[name].data_ptr()
    assert isinstance(student, type(teacher))
    kinds = [type(module) for module in student.modules()]
    assert (kinds.count(BinaryAttention), kinds.count(BinaryMlp), kinds.count(QuantLinear)) == (2, 2, 8 + 2)
    assert kinds.count(QuantConv2d) == 1
    bits = [module.weight_quantizer.bits for module in student.modules() if isinstance(module, QuantLinear)]
    assert (bits.count(1), bits.count(8)) == (8, 2)


def test_first_and_last_layers_can_stay_real(teacher: nn.Module) -> None:
    student = binarize(teacher, {"first_last_bits": 32})
    layers = [module for module in student.modules() if isinstance(module, QuantLinear | QuantConv2d)]
    assert len(layers) == 8
    assert all(is_binary(layer) for layer in layers)


def test_mode_and_dtype_follow_the_teacher(teacher: nn.Module) -> None:
    student = binarize(teacher.eval().double())
    assert all(not module.training for module in student.modules())
    assert all(p.dtype == torch.float64 for p in student.parameters())
    assert get_stage(student) == "full"


def test_timm_models_with_one_token_or_layer_scale_work() -> None:
    torch.manual_seed(1)
    model = timm.create_model("test_vit", num_classes=3, dynamic_img_size=False)
    student = binarize(model).eval()
    size = model.pretrained_cfg["input_size"]
    assert student(torch.randn(2, *size)).shape == (2, 3)
    scaled = VisionTransformer(
        img_size=16, patch_size=4, embed_dim=24, depth=1, num_heads=2, num_classes=5, init_values=0.1
    )
    assert binarize(scaled).eval()(torch.randn(2, 3, 16, 16)).shape == (2, 5)
    pooled = VisionTransformer(
        img_size=16,
        patch_size=4,
        embed_dim=24,
        depth=1,
        num_heads=2,
        num_classes=5,
        global_pool="avg",
        class_token=False,
    )
    assert binarize(pooled).eval()(torch.randn(2, 3, 16, 16)).shape == (2, 5)


@pytest.mark.parametrize(
    ("kwargs", "part"),
    [
        ({"qk_norm": True}, "query norm"),
        ({"dynamic_img_size": True}, "fixed image size"),
        ({"global_pool": "map"}, "attention pooling"),
    ],
)
def test_parts_without_a_binary_form_are_named(kwargs: dict[str, object], part: str) -> None:
    model = VisionTransformer(img_size=16, patch_size=4, embed_dim=24, depth=1, num_heads=2, num_classes=5, **kwargs)
    with pytest.raises(UnsupportedModelError, match=part):
        binarize(model)


def test_other_models_and_students_are_refused(teacher: nn.Module) -> None:
    with pytest.raises(UnsupportedModelError, match="not a timm VisionTransformer"):
        binarize(nn.Linear(3, 3))
    with pytest.raises(UnsupportedModelError, match="already binary"):
        binarize(binarize(teacher))


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        ("gbs", "unknown binarization scheme"),
        ({"offst": "row"}, "unknown scheme field"),
        ({"offset": "column"}, "choose one of"),
        ({"offset_bits": 4}, "choose one of"),
        ({"components_value": 9}, "choose 0 to"),
        ({"components_value": True}, "not of type int"),
        ({"gsb_value": "yes"}, "not of type bool"),
        ({"base_map": "mask", "type_a": "sign"}, "choose one"),
        ({"gsb_attention": False, "type_a": "sign"}, "gsb_attention"),
    ],
)
def test_senseless_schemes_are_refused(teacher: nn.Module, scheme: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        binarize(teacher, scheme)  # type: ignore[arg-type]


def test_scheme_round_trips_through_plain_values() -> None:
    scheme = BinarizationScheme(offset="row", components_value=4)
    assert BinarizationScheme(**scheme.to_dict()) == scheme


def test_stages(teacher: nn.Module) -> None:
    student = binarize(teacher)
    trainable = {name for name, p in student.named_parameters() if p.requires_grad}
    set_stage(student, "weights")
    assert get_stage(student) == "weights"
    frozen = trainable - {name for name, p in student.named_parameters() if p.requires_grad}
    teacher_names = {name for name, _ in teacher.named_parameters()}
    assert frozen == {name for name in trainable - teacher_names if "weight_quantizer" not in name}
    set_stage(student, "full")
    assert get_stage(student) == "full"
    assert {name for name, p in student.named_parameters() if p.requires_grad} == trainable
    with pytest.raises(UsageError, match="unknown stage"):
        set_stage(student, "second")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no binary layers"):
        set_stage(teacher, "full")

"""The models of Tables I-III that are there for comparison: binary ResNets and Q-ViT."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from bitvit.complexity import complexity
from bitvit.errors import UsageError
from bitvit.export import ExportError, pack
from bitvit.layers import QuantConv2d, calibrate, is_binary
from bitvit.layers.information_rectification import InformationRectification
from bitvit.layers.low_bit_attention import LowBitAttention
from bitvit.models import create_model, list_models, start_epoch, teacher_of
from bitvit.training.distribution_guidance import DistributionGuidance, similarity_loss
from bitvit.training.errors import RecipeError
from tests.support.random_models import assert_stages_switch

METHODS = ("xnor", "bireal", "irnet", "rbnn", "recu", "reactnet")
TEST_MODELS = sorted(set(list_models("test_*")) - set(list_models("test_*", packable=True)))
SEED = 4321


def build(name: str) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(SEED)
    model = create_model(name)
    images = torch.randn(5, *model.pretrained_cfg["input_size"])  # type: ignore[union-attr, index]
    if any(isinstance(module, LowBitAttention) for module in model.modules()):
        calibrate(model, images)
    return model, images


def test_all_of_the_tables_are_registered() -> None:
    names = set(list_models())
    for method in METHODS:
        assert {f"{method}_resnet18_224", f"{method}_resnet18_32", f"{method}_resnet18_micro_32"} <= names
        assert f"test_{method}_resnet18" in TEST_MODELS
    assert {"resnet18_224", "resnet18_32", "resnet18_micro_32", "qvit2_deit_small_patch16_224"} <= names
    assert not any("resnet" in name or "qvit" in name for name in list_models(packable=True))
    assert len(TEST_MODELS) == 9
    assert timm.is_model(teacher_of("qvit1_deit_micro_patch8_32") or "")


@pytest.mark.parametrize("name", TEST_MODELS)
def test_every_parameter_learns(name: str) -> None:
    model, images = build(name)
    model.train()
    start_epoch(model, 0.25)
    outputs = model(images)
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    assert all(head.shape == (5, 10) for head in heads)
    sum(head.square().sum() for head in heads).backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", TEST_MODELS)
def test_an_image_does_not_see_its_batch(name: str) -> None:
    model, images = build(name)
    model.double().eval()
    images = images.double()
    with torch.no_grad():
        alone = torch.cat([model(image[None]) for image in images])
        torch.testing.assert_close(model(images), alone, rtol=1e-9, atol=1e-9)
    assert alone.std(dim=0).min() > 0


@pytest.mark.parametrize("name", [name for name in TEST_MODELS if name != "test_resnet18"])
def test_stages(name: str) -> None:
    assert_stages_switch(*build(name))


@pytest.mark.parametrize("name", TEST_MODELS)
def test_no_packed_form(name: str) -> None:
    model, _ = build(name)
    with pytest.raises(ExportError, match=f"{name} is a comparison model for training only") as error:
        pack(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", TEST_MODELS)
def test_complexity_counts_everything(name: str) -> None:
    result = complexity(name)
    assert result.uncounted == []
    assert result.total.charge.ops > 0
    assert (result.total.charge.bops > 0) == (name != "test_resnet18")


def test_a_two_bit_product_is_four_binary_ones() -> None:
    two, one = complexity("test_qvit2_deit").total.charge, complexity("test_qvit1_deit").total.charge
    assert two.bops == 4 * one.bops
    assert two.flops == one.flops


def test_full_precision_is_torchvisions() -> None:
    torch.manual_seed(SEED)
    ours, theirs = create_model("resnet18_224", num_classes=7), torchvision.models.resnet18(num_classes=7)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours.eval()(images), theirs.eval()(images))


def test_only_published_places_are_real() -> None:
    model = create_model("bireal_resnet18_224")
    convolutions = {
        name for name, module in model.named_modules() if isinstance(module, nn.Conv2d) and not is_binary(module)
    }
    assert convolutions == {"conv1", *(f"layer{stage}.0.0.shortcut.1" for stage in (2, 3, 4))}
    assert sum(isinstance(module, QuantConv2d) for module in model.modules()) == 16


def test_an_epoch_changes_gradients_not_results() -> None:
    for method in ("irnet", "recu"):
        model, images = build(f"test_{method}_resnet18")
        model.eval()
        found = []
        for progress in (0.0, 0.9):
            start_epoch(model, progress)
            model.zero_grad()
            logits = model(images)
            logits.square().sum().backward()
            found.append((logits.detach(), model.get_submodule("layer2.0.0.conv").weight.grad.clone()))
        assert torch.equal(found[0][0], found[1][0])
        assert not torch.equal(found[0][1], found[1][1])


def test_rotations_are_state() -> None:
    model, _ = build("test_rbnn_resnet18")
    start_epoch(model, 0.5)
    other = create_model("test_rbnn_resnet18")
    other.load_state_dict(model.state_dict())
    own = other.get_submodule("layer1.0.0.conv").weight_quantizer.left
    assert torch.equal(own, model.get_submodule("layer1.0.0.conv").weight_quantizer.left)
    assert not torch.equal(own, torch.eye(len(own)))


def test_rectification_standardizes_each_head_of_each_image() -> None:
    layer = InformationRectification(2, 4, eps=0.0).double()
    with torch.no_grad():
        layer.beta.uniform_(-1, 1)
        layer.gamma.copy_(torch.tensor([0.5, 2.0]).view(2, 1, 1))
    x = torch.randn(3, 2, 5, 4, dtype=torch.float64)
    y = layer(x)
    for b in range(3):
        for h in range(2):
            values = x[b, h]
            expected = (values - values.mean() + layer.beta[h]) / (layer.gamma[h] * values.std(correction=0))
            torch.testing.assert_close(y[b, h], expected)


def test_similarity_loss_is_the_distance_of_normalized_products() -> None:
    torch.manual_seed(SEED)
    student, teacher = torch.randn(2, 3, 5, 4, dtype=torch.float64), torch.randn(2, 3, 5, 6, dtype=torch.float64)
    total = 0.0
    for b in range(2):
        for h in range(3):
            g_s, g_t = student[b, h] @ student[b, h].t(), teacher[b, h] @ teacher[b, h].t()
            total += float((g_t / g_t.square().sum().sqrt() - g_s / g_s.square().sum().sqrt()).square().sum().sqrt())
    torch.testing.assert_close(similarity_loss(student, teacher), torch.tensor(total / 2, dtype=torch.float64))


def test_guidance_reaches_queries_and_keys_only() -> None:
    student, images = build("test_qvit2_deit")
    teacher = create_model("deit_test_distilled_patch4_16")
    guidance = DistributionGuidance(student, teacher)
    with torch.no_grad():
        teacher(images)
    student.train()(images)
    guidance.loss().backward()
    blocks = student.get_submodule("blocks")
    last: LowBitAttention = blocks[-1].attn  # type: ignore[index, assignment]
    assert last.qkv.weight.grad is not None
    assert last.qkv.weight.grad[:64].abs().sum() > 0
    assert last.qkv.weight.grad[64:].abs().sum() == 0  # values
    assert last.proj.weight.grad is None


def test_guidance_needs_fitting_models() -> None:
    teacher = create_model("deit_test_distilled_patch4_16")
    with pytest.raises(RecipeError, match="only Q-ViT"):
        DistributionGuidance(create_model("test_gsb_deit"), teacher)
    with pytest.raises(RecipeError, match="student's shape"):
        DistributionGuidance(create_model("test_qvit2_deit"), create_model("deit_test_odd_distilled_patch5_20"))


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="bits is 0"):
        create_model("test_qvit2_deit", bits=0)
    with pytest.raises(UsageError, match="four stages"):
        create_model("bireal_resnet18_32", widths=(8, 8))

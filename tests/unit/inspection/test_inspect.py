"""What `bitvit inspect` measures: attention before and after binarization, and each module with and without it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from bitvit.bench.float_twin import float_twin
from bitvit.checkpoints import CheckpointInfo, ModelSpec, copy_weights
from bitvit.errors import UsageError
from bitvit.inspection.attention_maps import attention_maps
from bitvit.inspection.curves import read_curves
from bitvit.inspection.distributions import distribution
from bitvit.inspection.inspected_run import InspectedRun
from bitvit.inspection.switches import KINDS, without
from bitvit.inspection.taps import AttentionValues, attention_layers, tap_attention
from bitvit.layers import BinaryAttention, calibrate
from bitvit.models import create_model
from bitvit.program import Preprocessing

STUDENTS = ("test_gsb_deit", "test_binary_deit", "test_bhvit", "test_bhvit_gsb", "test_binaryvit", "test_reactdeit_all")


def _images(name: str, count: int = 3) -> torch.Tensor:
    size = create_model(name).pretrained_cfg["input_size"][1]
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(7))


def test_teacher_attention_is_what_timm_computes() -> None:
    torch.manual_seed(0)
    teacher = create_model("deit_test_distilled_patch4_16").eval()
    layer = attention_layers(teacher)[-1]
    module = teacher.get_submodule(layer)
    seen: list[torch.Tensor] = []
    module.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))  # type: ignore[arg-type]
    values = tap_attention(teacher, layer, torch.randn(2, 3, 16, 16))
    (x, output) = seen[0]
    batch, tokens, width = x.shape
    v = module.qkv(x).reshape(batch, tokens, 3, module.num_heads, -1).permute(2, 0, 3, 1, 4)[2]
    expected = module.proj((values.real @ v).transpose(1, 2).reshape(batch, tokens, width))
    assert values.binary is None
    torch.testing.assert_close(output, expected)  # float32, another order of summation


@pytest.mark.parametrize("name", STUDENTS)
def test_student_attention_before_and_after(name: str) -> None:
    torch.manual_seed(0)
    student = create_model(name).eval()
    for layer in attention_layers(student):
        values = tap_attention(student, layer, _images(name), batch_size=2)
        assert values.binary is not None and values.binary.shape == values.real.shape
        torch.testing.assert_close(values.real.sum(dim=-1), torch.ones(values.real.shape[:-1]))
        assert len(values.binary.unique()) < 20


def test_distribution_by_hand() -> None:
    # Two images of one head and two tokens; in the second one no value exceeds 0.5, so it has no factor of Eq. 8.
    real = torch.tensor([[[[0.9, 0.1], [0.6, 0.4]]], [[[0.5, 0.5], [0.5, 0.5]]]])
    binary = torch.tensor([[[[0.7, 0.0], [0.7, 0.0]]], [[[0.0, 0.0], [0.7, 0.7]]]])
    found = distribution(AttentionValues("x", real, binary))
    assert found["eq8_undefined"] == 0.5
    # Eq. 8: gamma = (0.9 + 0.6) / 2 = 0.75, so that 0.4 / 0.75 > 0.5 counts as well. Eq. 2: gamma = 0.5.
    assert found["eq8"]["share_of_ones"] == 0.75
    assert found["eq2"]["share_of_ones"] == 7 / 8
    assert found["real"]["above_half"] == 2 / 8
    assert sum(found["real"]["shares"]) == pytest.approx(1)
    assert [(level["value"], level["share"]) for level in found["binary"]["levels"]] == [
        (pytest.approx(0.7), 0.5),
        (0.0, 0.5),
    ] or found["binary"]["number_of_levels"] == 2
    assert found["binary"]["empty_rows"] == 0.25
    assert distribution(AttentionValues("x", real[1:], None))["eq8"] is None


@pytest.mark.parametrize("name", STUDENTS)
def test_each_switch_changes_the_network_and_leaves_the_original_alone(name: str) -> None:
    torch.manual_seed(0)
    student = create_model(name).eval()
    images = _images(name)
    with torch.no_grad():
        for module in student.modules():
            if isinstance(module, BinaryAttention):  # otherwise an untrained network looks everywhere alike
                module.qkv.weight.mul_(40)
    calibrate(student, images)
    with torch.inference_mode():
        before = student(images)
        changed = {kind: without(student, [kind])(images) for kind in KINDS}
        assert torch.equal(student(images), before)
    for kind, logits in changed.items():
        assert torch.isfinite(logits).all(), kind
        assert not torch.equal(logits, before), kind


def test_with_everything_real_a_fresh_student_is_its_teacher() -> None:
    torch.manual_seed(0)
    teacher = create_model("deit_test_distilled_patch4_16").eval()
    student = create_model("test_gsb_deit").eval()
    copy_weights(teacher, student)
    real = without(student, KINDS, centred=False)
    # The ends stay at 8 bits: put the teacher's in their places.
    for name in ("patch_embed", "head", "head_dist"):
        setattr(real, name, getattr(float_twin(student), name))
    images = torch.randn(3, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(real(images), teacher(images), rtol=1e-4, atol=1e-5)  # float32, another order


def _specimen(name: str, teacher: nn.Module | None = None, size: int = 16) -> InspectedRun:
    student = create_model(name, img_size=size).eval()
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(7))
    info = CheckpointInfo(
        ModelSpec(name, 10), "full", tuple(map(str, range(10))), Preprocessing((size, size), size, "bicubic")
    )
    pixels = torch.zeros(len(images), size, size, 3, dtype=torch.uint8)
    return InspectedRun(Path(name), student, info, teacher, pixels, images, torch.zeros(len(images), dtype=torch.int64))


def test_attention_maps_show_every_form() -> None:
    torch.manual_seed(0)
    maps = attention_maps(_specimen("test_gsb_deit", create_model("deit_test_distilled_patch4_16").eval()), 2)
    assert maps.columns[0].startswith("full precision") and len(maps.columns) == 5
    for form in maps.maps:
        assert form.shape == (2, 4, 4)
        assert float(form.max()) <= 1
    # An untrained network looks everywhere alike: no value above 0.5, so that Eq. 8 leaves nothing.
    assert maps.empty[maps.columns.index("baseline, Eq. 8")] == 1
    assert maps.seen_by == "class token"


def test_attention_maps_of_networks_without_class_token() -> None:
    maps = attention_maps(_specimen("test_binaryvit", size=64), 2)
    assert maps.seen_by == "all tokens"
    assert math.prod(maps.maps[0].shape[1:]) > 1
    with pytest.raises(UsageError, match="inside windows"):
        attention_maps(_specimen("test_bhvit", size=32), 2)
    with pytest.raises(UsageError, match="one token"):
        attention_maps(_specimen("test_binaryvit"), 2)


def test_attention_maps_of_reactdeit() -> None:
    maps = attention_maps(_specimen("test_reactdeit"), 2)
    assert (maps.seen_by, maps.maps[0].shape) == ("class token", (2, 4, 4))


def test_curves_of_an_unfinished_run(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "phase,epoch,epochs,train_loss,val_loss,val_top1,val_top5,learning_rate,seconds\n"
        "teacher,1,2,2.0,,,,0.1,1\nteacher,2,2,1.0,1.5,0.5,0.9,0.1,1\nstage2,1,9,3.0,,,,0.1,1\n"
    )
    teacher, stage2 = read_curves(tmp_path)
    assert (teacher.train, teacher.test_epochs, teacher.test, teacher.score) == ((2.0, 1.0), (2,), (1.5,), 0.5)
    assert (stage2.phase, stage2.epochs, stage2.test, stage2.score) == ("stage2", (1,), (), None)
    with pytest.raises(UsageError, match="no training metrics"):
        read_curves(tmp_path / "elsewhere")
    (tmp_path / "metrics.csv").write_text("epoch,train_loss\n1,2.0\n")
    with pytest.raises(UsageError, match="metrics"):
        read_curves(tmp_path)

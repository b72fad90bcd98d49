"""Teachers that know more than the student's images: pretrained ones, and those with images of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import timm
import torch
import yaml
from safetensors.torch import load_file, save_file

from bitvit.checkpoints import CheckpointError
from bitvit.cli import main
from bitvit.studies import plan_study, prepare_folder, run_study
from bitvit.training import train
from bitvit.training.phase_module import PhaseModule
from tests.support.tiny_study import tiny_study
from tests.support.tiny_training import tiny_recipe

SHORT: dict[str, Any] = {
    "teacher__epochs": 1,
    "teacher__warmup_epochs": 0,
    "stage1__epochs": 0,
    "stage2__epochs": 2,
    "model__init": "scratch",
}


def _write(state: dict[str, torch.Tensor], path: Path) -> None:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)


@pytest.fixture(params=["model.safetensors", "pytorch_model.bin"])
def cached(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub that holds timm's `test_vit` alone, with made weights; the hub cannot be reached."""
    cache = tmp_path / "cache"
    repository = cache / "models--timm--test_vit.r160_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    torch.manual_seed(1)
    file: Path = repository / "snapshots" / ("0" * 40) / request.param
    _write(timm.create_model("test_vit", num_classes=1000).state_dict(), file)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return file


def test_pretrained_weights_come_from_the_cache_and_are_fine_tuned(tmp_path: Path, cached: Path) -> None:
    recipe = tiny_recipe(
        tmp_path / "data",
        **{**SHORT, "teacher__learning_rate": 1e-9},
        teacher__model="test_vit",
        teacher__pretrained=True,
        teacher__kwargs={},
    )
    report = train(recipe, tmp_path / "run")
    assert [phase.model for phase in report.phases] == ["test_vit", "test_gsb_deit"]
    given = load_file(cached) if cached.suffix == ".safetensors" else torch.load(cached, weights_only=True)
    found = load_file(tmp_path / "run" / "teacher.safetensors")
    name = "blocks.0.attn.qkv.weight"
    torch.testing.assert_close(found[name], given[name], atol=1e-6, rtol=0)
    assert len(found["head.weight"]) == 3
    assert found["pos_embed"].shape != given["pos_embed"].shape  # for the student's images of 16 pixels


def test_a_model_that_is_not_cached_is_refused_in_one_line_before_anything(tmp_path: Path, cached: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data", **SHORT, teacher__model="test_resnet", teacher__pretrained=True)
    with pytest.raises(CheckpointError, match=r"teacher\.pretrained: .*not in the cache.*hf download timm/") as caught:
        train(recipe, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [("gsb_deit_micro_patch8_32", "has no pretrained weights"), ("no_such_network", "no_such_network")],
)
def test_the_command_refuses_networks_without_pretrained_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    assert main(["train", "--data", "digits", "--out", str(tmp_path / "run"), "--teacher", f"timm:{name}"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].count(message) == 1


def test_the_command_names_a_pretrained_teacher(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["train", "--data", "digits", "--show-recipe", "--out", str(tmp_path / "run"), "--teacher", "timm:test_vit"]
    assert main(line) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    teacher = shown["teacher"]
    assert (teacher["model"], teacher["pretrained"], teacher["weights"]) == ("test_vit", True, None)
    assert teacher["epochs"] > 0
    assert shown["model"]["init"] == "scratch"


def test_a_teacher_with_images_of_its_own_is_trained_on_them(tmp_path: Path) -> None:
    lines: list[str] = []
    recipe = tiny_recipe(
        tmp_path / "data",
        **SHORT,
        data__samples_per_class=2,
        teacher__data={"samples_per_class": 4},
        distillation__kind="soft",
        distillation__heads="both",
        distillation__temperature=4.0,
        distillation__final_temperature=1.0,
        augmentation__repeats=2,
    )
    report = train(recipe, tmp_path / "run", note=lines.append, estimates=True)
    assert (report.train_images, report.teacher_images) == (6, 12)
    assert "the teacher is trained on 12 images, the student on 6" in lines
    assert train(recipe, tmp_path / "run", resume=True).teacher_images == 12


def test_students_of_a_study_share_a_teacher_with_images_of_its_own(tmp_path: Path) -> None:
    study = tiny_study(tmp_path / "images").overridden(["data.samples_per_class=2", "teacher.data.samples_per_class=4"])
    runs = plan_study(study, only=["gsb-distilled"])
    assert {run.digest for run in runs}.isdisjoint(
        run.digest for run in plan_study(study.overridden(["teacher.data=null"]), only=["gsb-distilled"])
    )
    prepare_folder(study, tmp_path / "study")
    assert run_study(runs, tmp_path / "study").failed == ()
    (report,) = (tmp_path / "study" / "teachers").glob("*/report.json")
    assert json.loads(report.read_text())["train_images"] == 12
    (report,) = (tmp_path / "study" / "runs").glob("*/report.json")
    assert json.loads(report.read_text())["train_images"] == 6


def test_the_loss_of_oscillating_weights_acts_in_the_last_epochs_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[int] = []
    real = PhaseModule.training_step

    def step(self: PhaseModule, *batch: Any) -> torch.Tensor:
        seen.clear()
        loss = real(self, *batch)
        epochs.extend([self.current_epoch] * len(seen))
        return loss

    seen: list[object] = []

    def loss_of(model: torch.nn.Module) -> torch.Tensor:
        seen.append(model)
        return torch.zeros(())

    monkeypatch.setattr(PhaseModule, "training_step", step)
    monkeypatch.setattr("bitvit.training.phase_module.weight_oscillation_loss", loss_of)
    changes = {**SHORT, "stage2__epochs": 4, "teacher__epochs": 2, "regularization__weight_oscillation": 0.1}
    train(tiny_recipe(tmp_path / "data", **changes, regularization__from=0.5), tmp_path / "run")
    assert epochs == [2, 2, 2, 3, 3, 3]


def test_the_temperature_falls_from_step_to_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def loss(logits: torch.Tensor, teacher: torch.Tensor, kind: str, temperature: float) -> torch.Tensor:
        seen.append(temperature)
        return logits.mean()

    monkeypatch.setattr("bitvit.tasks.classification.losses.distillation_loss", loss)
    changes = {"distillation__kind": "soft", "distillation__temperature": 6.0, "distillation__final_temperature": 1.0}
    recipe = tiny_recipe(tmp_path / "data", **SHORT, **changes, distillation__temperature_schedule="linear")
    train(recipe, tmp_path / "run")
    assert seen == pytest.approx([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])

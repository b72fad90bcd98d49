"""Whole runs on a dozen images: what they leave behind, and how they fail."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitvit.checkpoints import CheckpointError, ModelError, load_checkpoint
from bitvit.data import Data, ImageSet, build_data
from bitvit.data.image_set import ArraySource, FileSource
from bitvit.errors import ImageError, OutputError
from bitvit.models import get_stage
from bitvit.training import EpochRecord, Recipe, RecipeError, TrainingError, TrainingInterrupted, evaluate, train
from bitvit.training.trainer_state import AtomicCheckpointIO
from tests.support.tiny_training import tiny_recipe


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(path)[0].state_dict()


def test_after_a_whole_run_nothing_is_dead(tmp_path: Path) -> None:
    """At three times the demonstration's learning rate, at which channels and scales of a linear domain died."""
    rates = {"stage1__learning_rate": 3e-3, "stage2__learning_rate": 3e-3}
    report = train(tiny_recipe(tmp_path / "data", stage2__epochs=40, **rates), tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "report.json").read_text())["phases"]
    assert [phase["liveness"] is None for phase in stored] == [True, False, False]
    for phase in report.phases[1:]:
        assert phase.liveness is not None
        assert phase.warning() is None
        assert phase.liveness.dead_channels == 0
        assert min(end.levels for end in phase.liveness.ends) > 25
    assert stored[2]["liveness"]["dead_planes"] == []
    assert stored[2]["liveness"]["smallest_relative_scale"] > 0.01


def test_a_run_warns_of_what_died(tmp_path: Path) -> None:
    lines: list[str] = []
    recipe = tiny_recipe(tmp_path / "data", scales__speed=3000.0, stage2__epochs=20)
    report = train(recipe, tmp_path / "run", note=lines.append)
    died = [line for line in lines if "died in training" in line]
    assert len(died) == 1
    assert died[0].removeprefix("warning: ") in report.warnings
    assert "scales.speed" in died[0]


def test_a_run_that_learned_nothing_says_so_after_each_phase(tmp_path: Path) -> None:
    lines: list[str] = []
    rates = {f"{phase}__learning_rate": 1e-9 for phase in ("teacher", "stage1", "stage2")}
    report = train(tiny_recipe(tmp_path / "data", **rates), tmp_path / "run", note=lines.append)
    stored = json.loads((tmp_path / "run" / "report.json").read_text())
    for phase in stored["phases"]:
        assert phase["is_above_guessing"] is False
        (line,) = [line for line in lines if line.startswith(f"warning: {phase['phase']}: ")]
        assert "guessing" in line and line.removeprefix("warning: ") in stored["warnings"]
    assert list(report.warnings) == stored["warnings"]


@pytest.mark.parametrize("is_split", [True, False])
def test_a_class_whose_validation_images_are_bad_is_trained_and_named(tmp_path: Path, is_split: bool) -> None:
    generator = np.random.default_rng(3)
    photos = tmp_path / "photos"
    for part, count in (("train", 6), ("val", 3)) if is_split else ((".", 5),):
        for name in ("cat [x]", "dog", "émeu"):
            (photos / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (20, 20, 3), np.uint8)
                Image.fromarray(pixels).save(photos / part / name / f"{number}.png")
    held_out = build_data(str(photos)).val
    for position in range(len(held_out)):
        if held_out.target(position) == 0:
            Path(held_out.describe(position)).write_bytes(b"no image")
    lines: list[str] = []
    recipe = tiny_recipe(tmp_path / "data", data__name=str(photos), data__folder=None, data__on_error="skip")
    report = train(recipe, tmp_path / "run", note=lines.append)
    assert "note: no validation images are left of 'cat [x]'" in lines
    said = "no validation image is of class 'cat [x]': how well it is recognized is unknown"
    assert said in report.warnings and f"warning: {said}" in lines


def assert_same_weights(found: Path, expected: Path) -> None:
    found_weights, expected_weights = weights(found), weights(expected)
    assert found_weights.keys() == expected_weights.keys()
    for name, value in expected_weights.items():
        assert torch.equal(found_weights[name], value), name


def test_a_run_leaves_everything_in_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tiny_recipe(tmp_path / "data", runtime__tensorboard=True, ema__decay=0.9)
    epochs: list[EpochRecord] = []
    report = train(recipe, tmp_path / "run", on_epoch=epochs.append)
    out = tmp_path / "run"
    assert [(record.phase, record.epoch) for record in epochs] == [
        *(("teacher", epoch) for epoch in (1, 2)),
        *(("stage1", epoch) for epoch in (1, 2)),
        *(("stage2", epoch) for epoch in (1, 2, 3)),
    ]
    # Every second epoch is judged, and the last.
    assert [record.val_loss is not None for record in epochs] == [False, True, False, True, False, True, True]
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train_loss"]) for row in rows] == pytest.approx(
        [record.train_loss for record in epochs], rel=1e-5
    )
    assert Recipe.load(out / "recipe.yaml") == recipe
    assert json.loads((out / "report.json").read_text()) == report.to_dict()
    with Image.open(out / "loss.png") as figure:
        assert figure.width > figure.height > 200
    for phase in ("teacher", "stage1", "stage2"):
        assert list((out / "tensorboard" / phase).glob("events*"))
    assert [path.name for path in (out / "state").glob("*.ckpt")] == ["stage2.ckpt"], "kept to extend the run"
    stages = {"teacher": "float", "stage1": "weights", "model": "full"}
    for name, stage in stages.items():
        model, info = load_checkpoint(out / f"{name}.safetensors")
        assert info.stage == stage
        assert info.labels == ("0", "1", "2")
        if stage != "float":
            assert get_stage(model) == stage
    model, info = load_checkpoint(out)
    data = build_data("idx", tmp_path / "data")
    assert evaluate(model, data.val, info.preprocessing) == report.final.evaluation
    average = load_checkpoint(out / "model_ema.safetensors")[0].state_dict()
    assert any(not torch.equal(average[name], value) for name, value in model.state_dict().items())
    assert report.final.average is not None
    assert capsys.readouterr().out == ""


def test_the_best_epoch_is_kept_beside_the_last(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data", teacher__epochs=1, teacher__warmup_epochs=0, stage2__epochs=4)
    epochs: list[EpochRecord] = []
    report = train(recipe, tmp_path / "run", on_epoch=epochs.append)
    judged = [r for r in epochs if r.phase == "stage2" and r.metrics is not None]
    best = report.final.best
    assert best is not None and best.checkpoint == "model_best.safetensors"
    assert all(phase.best is None for phase in report.phases[:-1])
    scores = {r.epoch: r.metrics["top1"] for r in judged if r.metrics is not None}
    assert (best.metric, best.value) == ("top1", max(scores.values()))
    assert best.epoch == next(epoch for epoch, score in scores.items() if score == best.value)
    model, info = load_checkpoint(tmp_path / "run" / best.checkpoint)
    assert info.metrics["epoch"] == best.epoch
    assert evaluate(model, build_data("idx", tmp_path / "data").val, info.preprocessing).score == best.value


def test_training_learns(tmp_path: Path) -> None:
    colours = np.zeros((24, 8, 8, 3), np.uint8)
    for number in range(24):
        colours[number, ..., number % 3] = 100 + 6 * number
    images = ImageSet.whole(
        ArraySource(colours, "colours"), [number % 3 for number in range(24)], ["red", "green", "blue"]
    )
    plain = {
        "augmentation__scale": [1, 1],
        "augmentation__ratio": [1, 1],
        "augmentation__mixup": 0,
        "model__kwargs": {},
    }
    recipe = tiny_recipe(tmp_path / "data", **plain, teacher__epochs=4, stage1__epochs=4, stage2__epochs=6)
    report = train(recipe, tmp_path / "run", data=Data("colours", images, images))
    # Chance is 1/3; the colours can be told apart without error.
    assert [phase.evaluation.score for phase in report.phases] == [1, 1, 1]


def test_runs_with_one_seed_are_equal_and_leave_the_generators_alone(tmp_path: Path) -> None:
    recipe = tiny_recipe(
        tmp_path / "data", teacher__epochs=1, teacher__warmup_epochs=0, stage1__epochs=1, stage2__epochs=1
    )
    before = torch.get_rng_state()
    train(recipe, tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    train(recipe, tmp_path / "b")
    assert_same_weights(tmp_path / "b", tmp_path / "a")
    other = tiny_recipe(
        tmp_path / "data", seed=1, teacher__epochs=1, teacher__warmup_epochs=0, stage1__epochs=1, stage2__epochs=1
    )
    train(other, tmp_path / "c")
    assert not torch.equal(weights(tmp_path / "c")["pos_embed"], weights(tmp_path / "a")["pos_embed"])


@pytest.mark.parametrize(
    "overrides",
    [
        {"stage1__epochs": 0, "stage2__epochs": 1},
        {"stage1__epochs": 1, "stage2__epochs": 0},
        {"distillation__kind": "none", "model__init": "scratch"},
        {"distillation__kind": "soft", "distillation__weight": 1.0, "distillation__temperature": 2.0},
        {"model__name": "test_gsb_deit_single", "teacher__model": "deit_test_patch4_16"},
        {"model__name": "deit_test_distilled_patch4_16", "stage1__epochs": 0},
        {"model__name": "test_binary_deit", "model__scheme": {"linear_statistics": "learned"}},
        {"model__name": "deit_test_distilled_patch4_16", "model__scheme": "baseline"},
        {"stage2__optimizer": "sgd", "stage2__clip_gradient": 0.5, "teacher__optimizer": "adam"},
        {"precision": "bf16-mixed"},
        {"runtime__workers": 1},
    ],
    ids=str,
)
def test_settings_of_every_kind_run(tmp_path: Path, overrides: dict[str, object]) -> None:
    short = {"teacher__epochs": 1, "teacher__warmup_epochs": 0, "stage1__epochs": 1, "stage2__epochs": 1}
    report = train(tiny_recipe(tmp_path / "data", **{**short, **overrides}), tmp_path / "run")
    expected = [name for name in ("stage1", "stage2") if {**short, **overrides}[f"{name}__epochs"]]
    if overrides.get("distillation__kind") != "none":
        expected.insert(0, "teacher")
    assert [phase.phase for phase in report.phases] == expected
    assert np.isfinite(report.final.evaluation.loss)


@pytest.mark.parametrize(("switch", "phase"), [(0.5, 2), (1.0, 1)])
def test_baselines_gamma_changes_late_in_the_last_stage(tmp_path: Path, switch: float, phase: int) -> None:
    recipe = tiny_recipe(
        tmp_path / "data",
        model__name="test_binary_deit",
        stage1__epochs=0,
        stage2__epochs=2,
        model__gamma_switch=switch,
    )
    train(recipe, tmp_path / "run")
    assert {int(value) for name, value in weights(tmp_path / "run").items() if name.endswith("phase")} == {phase}


def test_a_loaded_teacher_is_used_and_may_be_tuned(tmp_path: Path) -> None:
    short = {"stage1__epochs": 0, "stage2__epochs": 1, "teacher__epochs": 1, "teacher__warmup_epochs": 0}
    train(tiny_recipe(tmp_path / "data", **short), tmp_path / "first")
    teacher = tmp_path / "first" / "teacher.safetensors"
    loaded = {**short, "teacher__epochs": 0, "teacher__weights": str(tmp_path / "first")}
    train(tiny_recipe(tmp_path / "data", **loaded), tmp_path / "second")
    assert_same_weights(tmp_path / "second" / "teacher.safetensors", teacher)
    train(tiny_recipe(tmp_path / "data", **{**loaded, "teacher__epochs": 1}), tmp_path / "third")
    assert not torch.equal(
        weights(tmp_path / "third" / "teacher.safetensors")["pos_embed"], weights(teacher)["pos_embed"]
    )
    with pytest.raises(CheckpointError, match="no such file"):
        train(tiny_recipe(tmp_path / "data", **{**loaded, "teacher__weights": "nowhere"}), tmp_path / "fourth")


def test_diverging_training_says_so(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data", teacher__learning_rate=1e30, teacher__warmup_epochs=0)
    with pytest.raises(TrainingError, match=r"no longer finite .*teacher.*lower teacher.learning_rate"):
        train(recipe, tmp_path / "run")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model__name": "no_such_model"}, "no_such_model"),
        ({"teacher__optimizer": "no_such_optimizer"}, "teacher.optimizer"),
        ({"runtime__accelerator": "abacus"}, "runtime"),
        ({"batch_size": 64}, "more than the 12 training images"),
        ({"batch_size": 3}, "batch_size: must be even"),
        ({"model__name": "deit_test_distilled_patch4_16"}, "stage1.epochs: .* no binary weights"),
        ({"model__name": "test_gsb_deit_odd"}, "images of"),
    ],
)
def test_recipes_that_cannot_work_say_why(tmp_path: Path, overrides: dict[str, object], message: str) -> None:
    recipe = tiny_recipe(
        tmp_path / "data", model__init="teacher" if "odd" not in str(overrides) else "scratch", **overrides
    )
    with pytest.raises((RecipeError, ModelError), match=message) as caught:
        train(recipe, tmp_path / "run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_unreadable_image_is_named(tmp_path: Path, workers: int) -> None:
    for number in range(8):
        Image.new("RGB", (20, 20), (30 * number, 0, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "5.png").write_bytes((tmp_path / "5.png").read_bytes()[:-30])
    images = ImageSet.whole(FileSource(tuple(sorted(tmp_path.glob("*.png")))), [0, 1] * 4, ["a", "b"])
    recipe = tiny_recipe(tmp_path / "data", runtime__workers=workers)
    with pytest.raises(ImageError, match=r"5\.png: .*damaged") as caught:
        train(recipe, tmp_path / "run", data=Data("files", images, images.subset([0, 1])))
    assert "\n" not in str(caught.value)


def test_folders_that_must_not_be_written_are_left_alone(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="file"):
        train(recipe, tmp_path / "file" / "run")
    with pytest.raises(OutputError, match="file"):
        train(recipe, tmp_path / "file")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(TrainingError, match="not empty"):
        train(recipe, tmp_path / "full")
    with pytest.raises(TrainingError, match="not empty"):
        train(recipe, tmp_path / "full", resume=True)
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "thesis.txt").read_text() == "mine"


def test_a_full_disk_is_noticed_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: os.terminal_size((0, 0)) and type("Usage", (), {"free": 1000})
    )
    with pytest.raises(OutputError, match="MiB are free"):
        train(tiny_recipe(tmp_path / "data"), tmp_path / "run")


def test_a_disk_that_fills_up_leaves_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe(tmp_path / "data")
    train(recipe, tmp_path / "whole")
    original = AtomicCheckpointIO.save_checkpoint
    calls = 0

    def fill_up(
        self: AtomicCheckpointIO, checkpoint: dict[str, object], path: object, storage_options: object = None
    ) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise OutputError(f"cannot write {path}: No space left on device")
        original(self, checkpoint, path, storage_options)

    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpointIO, "save_checkpoint", fill_up)
        with pytest.raises(OutputError, match="No space left"):
            train(recipe, tmp_path / "run")
    train(recipe, tmp_path / "run", resume=True)
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_run_is_resumed_only_if_asked_and_only_with_its_recipe(tmp_path: Path) -> None:
    recipe = tiny_recipe(
        tmp_path / "data", teacher__epochs=1, teacher__warmup_epochs=0, stage1__epochs=0, stage2__epochs=1
    )
    report = train(recipe, tmp_path / "run")
    before = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(TrainingError, match=r"already contains a run.*--resume"):
        train(recipe, tmp_path / "run")
    changed = tiny_recipe(
        tmp_path / "data", teacher__epochs=1, teacher__warmup_epochs=0, stage1__epochs=0, stage2__epochs=2, seed=1
    )
    with pytest.raises(RecipeError, match=r"another recipe; changed: seed, stage2\.epochs$"):
        train(changed, tmp_path / "run", resume=True)
    again = train(recipe, tmp_path / "run", resume=True)
    assert again.to_dict() == report.to_dict()
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == before


def test_ctrl_c_keeps_the_state_and_the_handler(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data")
    train(recipe, tmp_path / "whole")
    handler = signal.getsignal(signal.SIGINT)

    def press(record: EpochRecord) -> None:
        if (record.phase, record.epoch) == ("stage1", 1):
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(0.01)  # the handler runs between two bytecodes of the main thread

    with pytest.raises(TrainingInterrupted, match="interrupted in stage1 after epoch 1 of 2; continue with --resume"):
        train(recipe, tmp_path / "run", on_epoch=press)
    assert signal.getsignal(signal.SIGINT) is handler
    train(recipe, tmp_path / "run", resume=True)
    assert_same_weights(tmp_path / "run", tmp_path / "whole")
    with (tmp_path / "run" / "metrics.csv").open() as found, (tmp_path / "whole" / "metrics.csv").open() as expected:
        for row, wanted in zip(csv.DictReader(found), csv.DictReader(expected), strict=True):
            row.pop("seconds"), wanted.pop("seconds")
            assert row == wanted


def test_damaged_state_is_named_and_pickled_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.ckpt"
    storage = AtomicCheckpointIO()
    storage.save_checkpoint({"a": torch.ones(2), "records": [{"x": 1.5}]}, path)
    assert storage.load_checkpoint(path)["records"] == [{"x": 1.5}]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match="damaged"):
        storage.load_checkpoint(path)
    torch.save({"code": Attack()}, path)
    with pytest.raises(CheckpointError, match="damaged"):
        storage.load_checkpoint(path, weights_only=False)


class Attack:
    """Unpickled without restrictions, it raises."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("pickled code was run",)

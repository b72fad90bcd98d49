"""Studies that really train: nothing is done twice, whatever is killed, shared or changed on the way."""

from __future__ import annotations

import json
import math
import multiprocessing
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bitvit.checkpoints import load_checkpoint
from bitvit.files import hold_lock
from bitvit.studies import (
    Study,
    StudyInterrupted,
    load_study,
    plan_study,
    prepare_folder,
    results_of,
    run_in_jobs,
    run_study,
    runner,
)
from bitvit.training import Recipe, TrainingError, train
from bitvit.training.recipe_fingerprint import fingerprint
from tests.support.tiny_study import run_and_die, tiny_study

EXACT = ("run", "seed", "digest", "top1", "test_loss", "train_loss", "train_top1", "packed_top1", "bytes")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path, Path]:
    """Return a study, the folder of its images, and that of its finished runs."""
    root = tmp_path_factory.mktemp("study")
    study = tiny_study(root / "images")
    prepare_folder(study, root / "out")
    outcome = run_study(plan_study(study), root / "out")
    assert (outcome.made, outcome.failed, outcome.elsewhere) == (3, (), ())
    return study, root / "images", root / "out"


def results(folder: Path) -> list[dict[str, Any]]:
    return sorted(results_of(folder).read(), key=lambda record: str(record["run"]))


def exact(folder: Path) -> list[dict[str, Any]]:
    return [{key: record[key] for key in EXACT} for record in results(folder)]


def test_records_say_all_about_a_run(whole: tuple[Study, Path, Path]) -> None:
    study, _, out = whole
    full, gsb, distilled = results(out)
    for record, run in zip((full, gsb, distilled), plan_study(study), strict=True):
        phases = json.loads((out / "runs" / run.folder / "report.json").read_text())["phases"]
        assert record["train_seconds"] == pytest.approx(sum(phase["seconds"] for phase in phases), abs=0.06)
        assert 0 <= record["top1"] <= 1 and math.isfinite(record["train_loss"])
        assert (record["train_images"], record["test_images"]) == (12, 6)
        assert record["ops"] > 0 and record["machine"]["cpu"]
        assert set(record["versions"]) == {"bitvit", "torch", "timm"}
    assert gsb["packed_top1"] == gsb["top1"] and gsb["agreement"] == 1.0
    assert gsb["bytes"] < 0.5 * full["bytes"], "a packed file against full-precision weights"
    assert full["packed_top1"] is None and full["agreement"] is None
    assert gsb["teacher"] is None and full["teacher"] == distilled["teacher"] != None  # noqa: E711
    assert [record["row"] for record in (full, gsb, distilled)] == [row.name for row in study.rows]


def test_distilled_runs_learned_from_one_teacher(whole: tuple[Study, Path, Path]) -> None:
    study, _, out = whole
    (teacher,) = (out / "teachers").iterdir()
    for run in plan_study(study, only=["fp", "gsb-distilled"]):
        copy = load_checkpoint(out / "runs" / run.folder / "teacher.safetensors")[0].state_dict()
        for name, value in load_checkpoint(teacher)[0].state_dict().items():
            assert (copy[name] == value).all()


def test_a_finished_row_trained_like_the_teacher_is_the_teacher(tmp_path: Path) -> None:
    study = tiny_study(tmp_path / "images")
    (distilled,) = plan_study(study, only=["gsb-distilled"])
    assert distilled.teacher is not None
    # Another recipe as a file, the same training: what a row does not use, such as its teacher, does not count.
    (row,) = plan_study(replace(study, rows=(replace(study.rows[0], name="plain"),), compare=()))
    row = replace(
        row, recipe=replace(distilled.teacher, name="plain"), teacher=None, digest=fingerprint(distilled.teacher)
    )
    prepare_folder(study, tmp_path / "out")
    assert run_study([row, distilled], tmp_path / "out").failed == ()
    assert not (tmp_path / "out" / "teachers").exists()
    plain, student = results(tmp_path / "out")[::-1]
    assert student["teacher"] == {
        "model": "deit_test_distilled_patch4_16",
        "digest": plain["digest"],
        "top1": plain["top1"],
        "train_seconds": plain["train_seconds"],
    }
    copy = load_checkpoint(tmp_path / "out" / "runs" / distilled.folder / "teacher.safetensors")[0].state_dict()
    taught = load_checkpoint(tmp_path / "out" / "runs" / row.folder)[0].state_dict()
    assert all((copy[name] == value).all() for name, value in taught.items())


def test_finished_runs_are_not_repeated(whole: tuple[Study, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    study, _, out = whole
    before = (out / "results.jsonl").read_bytes()
    monkeypatch.setattr(runner, "execute", lambda *_: pytest.fail("a finished run was made again"))
    assert run_study(plan_study(study), out).made == 0
    assert (out / "results.jsonl").read_bytes() == before


def test_a_killed_study_ends_with_the_same_results(whole: tuple[Study, Path, Path], tmp_path: Path) -> None:
    _, images, expected = whole
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.tiny_study"])
    codes = []
    for fatal_file in ("*/teachers/*/model.safetensors", "*/runs/gsb*/state/stage1.ckpt", None):
        process = context.Process(target=run_and_die, args=(images, tmp_path, fatal_file))
        process.start()
        process.join(300)
        codes.append(process.exitcode)
    assert codes == [-signal.SIGKILL] * 2 + [0]
    assert exact(tmp_path) == exact(expected)
    assert len(list((tmp_path / "teachers").iterdir())) == 1


def test_a_stopped_study_goes_on_in_another_place(whole: tuple[Study, Path, Path], tmp_path: Path) -> None:
    """A student's recipe names its teacher's file, which is elsewhere by then; it is the same teacher."""
    study, images, expected = whole
    arguments = (images, tmp_path / "a", "*/runs/gsb*/model.safetensors")
    process = multiprocessing.get_context("forkserver").Process(target=run_and_die, args=arguments)
    process.start()
    process.join(300)
    (stopped,) = (tmp_path / "a" / "runs").glob("gsb*")
    assert (stopped / "recipe.yaml").is_file() and not (stopped / "model.safetensors").exists()
    (tmp_path / "a").rename(tmp_path / "b")
    assert run_study(plan_study(study), tmp_path / "b").failed == ()
    assert exact(tmp_path / "b") == exact(expected)


def test_figures_that_are_no_numbers_fail_only_their_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tiny_study(tmp_path / "images")
    prepare_folder(study, tmp_path)
    module = sys.modules[runner.execute.__module__]
    figures = module._figures
    monkeypatch.setattr(
        module,
        "_figures",
        lambda report, recipe, *rest: {
            **figures(report, recipe, *rest),
            **({"test_loss": math.nan} if recipe.stage1.epochs else {}),
        },
    )
    outcome = run_study(plan_study(study, only=["gsb", "fp"]), tmp_path)
    (failed,) = outcome.failed
    assert "gsb, seed 0: test_loss: not finite" in failed
    assert [record["run"] for record in results(tmp_path)] == ["fp"]


def test_a_run_that_another_process_has_claimed_is_left_to_it(whole: tuple[Study, Path, Path], tmp_path: Path) -> None:
    study, _, _ = whole
    (run,) = plan_study(study, only=["gsb"])
    prepare_folder(study, tmp_path)
    with hold_lock(tmp_path / "locks" / run.folder):
        outcome = run_study([run], tmp_path)
    assert (outcome.made, outcome.elsewhere) == (0, ("gsb, seed 0",))
    assert not (tmp_path / "runs").exists()


def test_two_processes_share_a_study(whole: tuple[Study, Path, Path], tmp_path: Path) -> None:
    study, _, expected = whole
    prepare_folder(study, tmp_path)
    outcome = run_in_jobs(study, tmp_path, 2, only=["fp", "gsb-distilled"])
    assert outcome.failed == () and outcome.elsewhere == ()
    full, _, distilled = exact(expected)
    assert exact(tmp_path) == [full, distilled], "each run once, with the same result and teacher"


def test_equal_runs_of_another_study_are_taken_over(
    whole: tuple[Study, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _, out = whole
    renamed = replace(study, rows=tuple(replace(row, name=f"new-{row.name}") for row in study.rows), compare=())
    prepare_folder(renamed, tmp_path)
    monkeypatch.setattr(runner, "execute", lambda *_: pytest.fail("an equal run was there"))
    outcome = run_study(plan_study(renamed), tmp_path, reuse=[tmp_path, out])
    assert outcome.made == 3
    assert [record["top1"] for record in results(tmp_path)] == [record["top1"] for record in results(out)]
    assert results(tmp_path)[0]["taken_from"] == "out/fp"


def test_a_run_that_fails_does_not_cost_the_others(tmp_path: Path) -> None:
    study = tiny_study(tmp_path / "images")
    broken = replace(study.rows[1], name="broken", overrides={"model.kwargs": {"no_such": 1}})
    study = replace(study, rows=(broken, study.rows[1]), compare=())
    prepare_folder(study, tmp_path)
    outcome = run_study(plan_study(study), tmp_path)
    assert outcome.made == 1 and len(outcome.failed) == 1
    assert "broken, seed 0" in outcome.failed[0] and "no_such" in outcome.failed[0]
    assert [record["run"] for record in results(tmp_path)] == ["gsb"]


def test_an_interrupt_keeps_what_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tiny_study(tmp_path / "images")
    made = []

    def execute(run: Any, place: Any) -> dict[str, Any]:
        if made:
            raise KeyboardInterrupt
        made.append(run)
        return {"run": run.name, "row": run.row.name, "seed": run.seed, "digest": run.digest, "top1": 0.5, "seconds": 1}

    monkeypatch.setattr(runner, "execute", execute)
    prepare_folder(study, tmp_path)
    with pytest.raises(StudyInterrupted, match="1 runs were finished and are kept"):
        run_study(plan_study(study), tmp_path)
    assert [record["run"] for record in results(tmp_path)] == ["fp"]
    monkeypatch.setattr(runner, "execute", lambda run, _: {**results(tmp_path)[0], "run": run.name})
    assert run_study(plan_study(study, only=["fp"]), tmp_path).made == 0, "its claim has ended, its result counts"


def test_a_full_precision_network_is_trained_by_itself(tmp_path: Path) -> None:
    """The recipe of full-precision rows: stage 2 is the only phase, with nothing in it to binarize."""
    tiny_study(tmp_path / "images")
    overrides = {
        "data.name": "idx",
        "data.folder": str(tmp_path / "images"),
        "data.samples_per_class": 2,
        "batch_size": 4,
        "model.name": "deit_test_distilled_patch4_16",
        "stage2.epochs": 1,
        "stage2.warmup_epochs": 0,
        "runtime.accelerator": "cpu",
    }
    report = train(Recipe.load("study-full-precision", overrides), tmp_path / "run")
    assert [phase.phase for phase in report.phases] == ["stage2"]
    model, info = load_checkpoint(tmp_path / "run")
    assert info.stage == "float" and not model.training
    with pytest.raises(TrainingError, match="already contains a run"):
        train(Recipe.load("study-full-precision", overrides), tmp_path / "run")


def test_segmentation_rows_learn_from_masks_or_from_the_full_precision_row(tmp_path: Path) -> None:
    study = load_study("segmentation")
    assert all(run.teacher is None for run in plan_study(study, [0]))
    schedule = plan_study(study, [0])[0].recipe.stage2
    taught = {f"teacher.{key}": getattr(schedule, key) for key in ("epochs", "learning_rate", "warmup_epochs")}
    taught["distillation.kind"] = "soft"
    study = replace(study, overrides=study.overrides | taught)
    full_precision, *_, student = plan_study(study, [0])
    assert student.teacher is not None and fingerprint(student.teacher) == full_precision.digest
    study = study.smoked()
    runs = plan_study(study, [0], only=["resnet18", "reactnet*"])
    prepare_folder(study, tmp_path)
    assert run_study(runs, tmp_path).failed == ()
    binary, full = results(tmp_path)
    assert (binary["row"], full["row"]) == ("reactnet-resnet18", "resnet18")
    assert full["teacher"] is None and 0 <= binary["teacher"]["miou"] <= 1
    assert (binary["train_images"], binary["test_images"]) == (32, 8)
    assert 0 <= binary["miou"] <= 1 and binary["packed_miou"] is None and binary["ops"] > 0

"""`bitvit study` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from bitvit.studies import load_study, packaged_studies, plan_study, prepare_folder, results_of
from tests.support.command import Command
from tests.support.tiny_study import record_of, tiny_study

FILES = {"study.yaml", "results.jsonl", "table.md", "table.csv", "figure.png"}


def test_table_iv_in_smoke_form_writes_everything(bitvit: Command, tmp_path: Path) -> None:
    out = tmp_path / "table-iv"
    result = bitvit("study", "table-iv", "--seeds", 1, "--budget", "smoke", "--out", out)
    assert result.code == 0, result.err
    assert {path.name for path in out.iterdir()} >= FILES
    names = [row.name for row in load_study("table-iv").rows]
    records = {record["run"]: record for record in results_of(out).read()}
    assert list(records) == names
    for name in names:
        assert (records[name]["packed_top1"] is None) == name.startswith("deit")
    table = (out / "table.md").read_text()
    for row in load_study("table-iv").rows:
        assert f"| {row.title} |" in table and row.title.split()[0] in result.out
    with Image.open(out / "figure.png") as figure:
        assert figure.width > 200


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    """A study as a file of the user's, with a result for its first row."""
    study = tiny_study(tmp_path / "images")
    path = tmp_path / "mine.yaml"
    path.write_text(study.to_yaml())
    prepare_folder(study, tmp_path / "out")
    results_of(tmp_path / "out").append(record_of(plan_study(study)[0], top1=0.625))
    return path


def test_report_only_makes_no_run(bitvit: Command, study_file: Path, tmp_path: Path) -> None:
    result = bitvit("study", study_file, "--out", tmp_path / "out", "--report-only", "--json")
    assert result.code == 0, result.err
    lines = {line["row"]: line for line in result.json["lines"]}
    assert lines["fp"]["top1"]["mean"] == 0.625 and lines["gsb"]["top1"] is None
    assert {path.name for path in (tmp_path / "out").iterdir()} >= FILES
    assert not (tmp_path / "out" / "runs").exists()
    assert "62.50" in (tmp_path / "out" / "table.md").read_text()


def test_report_only_remembers_the_overrides(bitvit: Command, study_file: Path, tmp_path: Path) -> None:
    study = load_study(study_file).overridden(["batch_size=2"])
    prepare_folder(study, tmp_path / "out")
    results_of(tmp_path / "out").append(record_of(plan_study(study)[1], top1=0.25))
    result = bitvit("study", study_file, "--out", tmp_path / "out", "--report-only", "--json")
    lines = {line["row"]: line for line in result.json["lines"]}
    assert lines["fp"]["top1"] is None and lines["gsb"]["top1"]["mean"] == 0.25
    # What repeats the runs, not what was typed to see them.
    table = (tmp_path / "out" / "table.md").read_text()
    assert f"Command: `bitvit study {study_file} --seeds 1 batch_size=2`." in table


@pytest.mark.parametrize("arguments", [["--report-only"], ["--seeds", 1], ["--budget", "smoke"]])
def test_another_study_keeps_its_folder(
    bitvit: Command, study_file: Path, tmp_path: Path, arguments: list[object]
) -> None:
    before = (tmp_path / "out" / "study.yaml").read_bytes()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    result = bitvit("study", "table-v", "--out", tmp_path / "out", *arguments)
    result.assert_one_error_line("belongs to the study 'tiny', not to 'table-v", "--out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == names >= {"study.yaml", "results.jsonl"}
    assert (tmp_path / "out" / "study.yaml").read_bytes() == before


def test_fewer_seeds_do_not_hide_those_that_are_there(bitvit: Command, study_file: Path, tmp_path: Path) -> None:
    for run in plan_study(load_study(study_file), range(3)):
        results_of(tmp_path / "out").append(record_of(run))
    result = bitvit("study", study_file, "--out", tmp_path / "out", "--seeds", 1)
    assert result.code == 0, result.err
    assert f"Command: `bitvit study {study_file} --seeds 3`." in (tmp_path / "out" / "table.md").read_text()
    assert load_study(tmp_path / "out" / "study.yaml").seeds == 3


def test_report_only_needs_a_study_that_was_run(bitvit: Command, study_file: Path, tmp_path: Path) -> None:
    result = bitvit("study", study_file, "--out", tmp_path / "none", "--report-only")
    result.assert_one_error_line("none", "contains no study yet")


def test_one_row_with_overrides_at_any_place(bitvit: Command, study_file: Path, tmp_path: Path) -> None:
    arguments = ["stage2.epochs=1", "--out", tmp_path / "new", "--only", "gsb", "stage1.epochs=0", "--seeds", 1]
    result = bitvit("study", study_file, *arguments, "batch_size=6")
    assert result.code == 0, result.err
    (record,) = results_of(tmp_path / "new").read()
    assert record["run"] == "gsb"
    (folder,) = (tmp_path / "new" / "runs").iterdir()
    report = json.loads((folder / "report.json").read_text())
    assert [(phase["phase"], phase["epochs"]) for phase in report["phases"]] == [("stage2", 1)]
    assert "batch_size: 6" in (folder / "recipe.yaml").read_text()


def test_a_failed_run_ends_in_one_error_line(bitvit: Command, study_file: Path, tmp_path: Path) -> None:
    result = bitvit("study", study_file, "--out", tmp_path / "new", "--only", "gsb", "model.kwargs={no_such: 1}")
    assert result.code == 2
    assert "error: 1 runs failed, the first: gsb, seed 0: " in result.err and "no_such" in result.err
    assert (tmp_path / "new" / "table.md").is_file()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["table-xx"], ["no study 'table-xx'", "table-iv"]),
        ([], ["give the name of a study", "--list"]),
        (["stage2.epochs=3"], ["give the name of a study"]),
        (["table-iv", "--only", "resnet"], ["no such row", "gsb"]),
        (["table-iv", "stage7.epochs=3"], ["study table-iv", "stage7"]),
        (["table-iv", "--seeds", "0"], ["--seeds"]),
    ],
)
def test_wrong_requests_are_one_line(bitvit: Command, tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    out = tmp_path / "out"
    bitvit("study", *arguments, "--out", out).assert_one_error_line(*parts)
    assert not out.exists()


def test_a_bad_file_is_one_line(bitvit: Command, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("title: Bad\nrows: [{name: a, overides: {}}]\n")
    bitvit("study", path).assert_one_error_line("bad.yaml", "rows[0].overides")


def test_list_names_all(bitvit: Command) -> None:
    result = bitvit("study", "--list")
    assert result.code == 0 and all(name in result.out for name in packaged_studies())
    assert [entry["name"] for entry in bitvit("study", "--list", "--json").json] == packaged_studies()

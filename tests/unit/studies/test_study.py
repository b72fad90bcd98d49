"""Studies as files: what is packaged is sound, what is wrong is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitvit.checkpoints import ModelSpec, build_model, is_binary
from bitvit.studies import StudyError, load_study, packaged_studies, parse_study, plan_study
from bitvit.training.recipe_fingerprint import fingerprint

NAMES = packaged_studies()
HEAD = "title: Mine\n"
ROW = "rows: [{name: gsb}]\n"


def test_every_experiment_of_the_paper_is_there() -> None:
    tables = {"methods", "table-iv", "table-v", "table-vi", "table-vii", "table-viii"}
    assert tables | {"label-noise", "samples-per-class", "families", "stages"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_packaged_studies_can_be_run(name: str) -> None:
    study = load_study(name)
    assert parse_study(study.to_yaml(), "other") == study
    runs = plan_study(study, [0])
    assert len(runs) == study.n_lines == len({run.digest for run in runs}), "two lines train the same"
    for recipe in {run.recipe.model.name: run.recipe for run in runs}.values():
        model = recipe.model
        built = build_model(ModelSpec(model.name, 10, model.image_size, model.scheme, dict(model.kwargs)))
        assert is_binary(built) or recipe.stage1.epochs == 0
    assert all(run.recipe.data.samples_per_class or run.recipe.data.name.startswith("scenes/") for run in runs)


@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_study_takes_one_epoch_of_few_images(name: str) -> None:
    study = load_study(name).smoked()
    assert parse_study(study.to_yaml(), "other") == study
    for run in plan_study(study, [0]):
        assert run.recipe.data.name in ("digits", "scenes/digits/32")
        assert max(run.recipe.teacher.epochs, run.recipe.stage1.epochs, run.recipe.stage2.epochs) == 1


@pytest.mark.parametrize("name", NAMES)
def test_all_rows_of_a_seed_learn_from_one_teacher(name: str) -> None:
    """Or from two, where a study compares a teacher of the same images with one of all."""
    teachers: dict[tuple[object, ...], set[str]] = {}
    for run in plan_study(load_study(name), [0, 1]):
        if run.teacher is not None:
            knows_more = run.teacher.teacher.data is not None
            teachers.setdefault((run.seed, knows_more, *run.point.values()), set()).add(fingerprint(run.teacher))
    assert all(len(digests) == 1 for digests in teachers.values())


def test_rows_of_the_paper_agree_between_studies() -> None:
    """So that one study can take over the runs of another."""
    digests = {}
    for name in ("methods", "table-iv", "table-v", "table-vii", "stages", "label-noise", "samples-per-class"):
        digests[name] = {run.name: run.digest for run in plan_study(load_study(name), [0])}
    gsb = digests["table-iv"]["gsb"]
    assert [digests[name]["gsb"] for name in ("methods", "table-v", "stages")] == [gsb] * 3
    assert digests["label-noise"]["gsb-noise_0.0"] == digests["samples-per-class"]["gsb-samples_204"] == gsb
    names = ("table-iv-64", "table-vi-64", "distillation-64", "stages-64")
    of_64 = [{run.name: run.digest for run in plan_study(load_study(name), [0])} for name in names]
    assert len({rows["gsb"] for rows in of_64}) == 1
    assert of_64[0]["gsb-distilled"] == of_64[2]["gsb-distilled"]
    assert digests["table-vii"]["gsb-distilled"] == digests["table-iv"]["gsb-distilled"] != gsb


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (HEAD, ["rows", "must be given"]),
        (HEAD + "rows: []", ["rows", "at least one"]),
        (ROW, ["title", "must be given"]),
        (HEAD + "rows: [{label: GSB}]", ["rows[0].name", "must be given"]),
        (HEAD + "rows: gsb", ["rows", "a list"]),
        (HEAD + "rows: [gsb]", ["rows[0]", "section"]),
        (HEAD + ROW + "rouws: 3", ["rouws", "did you mean 'rows'"]),
        (HEAD + "rows: [{name: gsb, overides: {}}]", ["rows[0].overides", "rows[0].overrides"]),
        (HEAD + "rows: [{name: gsb}, {name: gsb}]", ["two are called 'gsb'"]),
        (HEAD + "rows: [{name: ../gsb}]", ["'../gsb' is not a valid name"]),
        (HEAD + ROW + "seeds: none", ["seeds", "integer"]),
        (HEAD + ROW + "seeds: 0", ["seeds", "at least 1"]),
        (HEAD + ROW + "compare: [[gsb, xnor]]", ["compare", "no row 'xnor'"]),
        (HEAD + ROW + "compare: [[gsb]]", ["compare[0]", "a list of 2 strings"]),
        (HEAD + ROW + "axes: [{name: k, values: [1]}]", ["axes[0].key", "overrides"]),
        (HEAD + ROW + "axes: [{name: k, values: [], key: seed}]", ["axes[0].values"]),
        (HEAD + ROW + "axes: [{name: k, values: [1, 2], overrides: {'1': {}}}]", ["axes[0].overrides", "'2'"]),
        (HEAD + ROW + "axes: [{name: k, values: [1], key: seed, stretch: {'2': 3}}]", ["stretch", "2: 3"]),
        (HEAD + ROW + "axes: [{name: k, values: [[1]], key: seed}]", ["plain values"]),
        ("title: [", ["line", "YAML"]),
    ],
)
def test_wrong_studies_say_what_is_wrong(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    for part in parts:
        assert part in message


def test_an_unknown_study_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="table-iv"):
        load_study(tmp_path / "nothing.yaml")


def test_overrides_win_over_rows_and_are_kept_in_the_file() -> None:
    study = parse_study(HEAD + "rows: [{name: gsb, overrides: {stage2.epochs: 3}}]", "mine")
    changed = study.overridden(["stage2.epochs=7", "data.folder=null"])
    assert [run.recipe.stage2.epochs for run in plan_study(changed, [0])] == [7]
    assert parse_study(changed.to_yaml(), "mine").final == {"stage2.epochs": 7, "data.folder": None}
    with pytest.raises(StudyError, match=r"section\.key=value"):
        study.overridden(["stage2.epochs"])

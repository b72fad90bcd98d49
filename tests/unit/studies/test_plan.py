"""From a study to runs: order, precedence, what counts as the same run, and the shared teacher."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bitvit.studies import Study, StudyError, load_study, parse_study, plan_study
from bitvit.studies.plan import teacher_recipe
from bitvit.training import Recipe
from bitvit.training.recipe_fingerprint import TRAINING_REVISION, fingerprint

GRID = """
title: Grid
overrides: {data.name: digits}
teacher: {epochs: 8}
rows:
  - {name: plain, overrides: {stage2.epochs: 20}}
  - {name: taught, overrides: {distillation.kind: hard}}
axes:
  - {name: k_a, key: model.scheme.components_attention, values: [0, 2]}
  - name: size
    values: [few, many]
    overrides:
      few: {data.samples_per_class: 5, stage2.epochs: 30}
      many: {data.samples_per_class: 50}
    stretch: {few: 10}
seeds: 2
"""


@pytest.fixture
def grid() -> Study:
    return parse_study(GRID, "grid")


def test_all_lines_of_one_seed_come_before_the_next_seed(grid: Study) -> None:
    runs = plan_study(grid)
    assert len(runs) == 2 * grid.n_lines == 16
    assert [run.seed for run in runs] == [run.recipe.seed for run in runs] == [0] * 8 + [1] * 8
    assert [run.name for run in runs[:3]] == [
        "plain-k_a_0-size_few",
        "plain-k_a_0-size_many",
        "plain-k_a_2-size_few",
    ]
    assert runs[3].point == {"k_a": 2, "size": "many"}
    assert runs[3].recipe.model.scheme == {"components_attention": 2}
    assert len({run.folder for run in runs}) == 16


def test_axes_win_over_rows_and_stretch_all_epochs(grid: Study) -> None:
    runs = {run.name: run.recipe for run in plan_study(grid, [0])}
    few, many = runs["plain-k_a_0-size_few"], runs["plain-k_a_0-size_many"]
    assert (many.stage1.epochs, many.stage2.epochs, many.data.samples_per_class) == (15, 20, 50)
    assert (few.stage1.epochs, few.stage2.epochs, few.data.samples_per_class) == (150, 300, 5)


def test_a_later_section_replaces_what_an_earlier_one_set_inside() -> None:
    text = """
title: Order
overrides: {model.kwargs: {depth: 1}, model.kwargs.num_heads: 2}
rows: [{name: a, overrides: {model.kwargs: {depth: 3}}}, {name: b, overrides: {model.kwargs.depth: 5}}]
"""
    first, second = plan_study(parse_study(text, "order"), [0])
    assert first.recipe.model.kwargs == {"depth": 3}
    assert second.recipe.model.kwargs == {"depth": 5, "num_heads": 2}


def test_rows_can_start_from_another_recipe() -> None:
    text = "title: Two\nrows: [{name: fp, recipe: study-full-precision}, {name: gsb}]"
    full, binary = plan_study(parse_study(text, "two"), [0])
    assert (full.recipe.stage1.epochs, full.recipe.stage2.epochs) == (0, 40)
    assert binary.recipe.stage1.epochs == 15


def test_distilled_rows_share_a_teacher_on_the_same_images(grid: Study) -> None:
    runs = plan_study(grid)
    taught = [run for run in runs if run.row.name == "taught"]
    assert all(run.teacher is None for run in runs if run.row.name == "plain")
    teachers = {}
    for run in taught:
        assert run.teacher is not None
        assert run.teacher.data == run.recipe.data and run.teacher.seed == run.seed
        teachers.setdefault((run.seed, run.point["size"]), set()).add(fingerprint(run.teacher))
    assert [len(digests) for digests in teachers.values()] == [1] * 4, "k_a does not change the teacher"
    assert len(set.union(*teachers.values())) == 4


def test_a_teachers_recipe_trains_a_full_precision_network_by_itself(grid: Study) -> None:
    run = next(run for run in plan_study(grid, [0]) if run.row.name == "taught")
    recipe = teacher_recipe(run.recipe)
    assert recipe.model.name == run.recipe.teacher.model and recipe.model.scheme is None
    assert (recipe.distillation.kind, recipe.stage1.epochs) == ("none", 0)
    assert (recipe.stage2.epochs, recipe.stage2.weight_decay) == (80, run.recipe.teacher.weight_decay)


def test_only_what_has_influence_changes_a_run(grid: Study) -> None:
    def digests(study: Study) -> dict[str, str]:
        return {run.name: run.digest for run in plan_study(study, [0])}

    before = digests(grid)
    assert digests(replace(grid, final={"runtime.threads": 2, "runtime.compile": True})) == before
    other_teacher = digests(replace(grid, teacher={"epochs": 9}))
    changed = {name for name, digest in before.items() if other_teacher[name] != digest}
    assert changed == {name for name in before if name.startswith("taught")}
    assert not set(digests(replace(grid, final={"batch_size": 16})).values()) & set(before.values())


def test_only_keeps_rows_and_points_by_pattern(grid: Study) -> None:
    assert {run.row.name for run in plan_study(grid, [0], only=["taught"])} == {"taught"}
    assert len(plan_study(grid, [0], only=["*-k_a_2-*"])) == 4
    with pytest.raises(StudyError, match=r"no such row; it has plain, taught"):
        plan_study(grid, only=["plain", "resnet*"])


def test_a_wrong_key_names_study_and_row(grid: Study) -> None:
    with pytest.raises(StudyError, match=r"study grid, plain-k_a_0-size_few: unknown key 'stage3'"):
        plan_study(grid.overridden(["stage3.epochs=1"]))


def test_a_fingerprint_is_made_of_what_differs_from_the_defaults() -> None:
    base = {"stage2.epochs": 3, "distillation.kind": "none"}
    recipe = Recipe.load("study-binary", base)
    same = [{"name": "other"}, {"runtime.threads": 7}, {"ema.decay": None}, {"model.kwargs": {}}]
    assert {fingerprint(Recipe.load("study-binary", base | change)) for change in same} == {fingerprint(recipe)}
    others = [
        {"seed": 1},
        {"ema.decay": 0.9},
        {"model.kwargs": {"depth": 1}},
        {"precision": "64"},
        {"stage2.epochs": 4},
    ]
    assert len({fingerprint(Recipe.load("study-binary", base | change)) for change in others}) == len(others)
    assert fingerprint(recipe) not in {fingerprint(Recipe.load("study-binary", base | change)) for change in others}


def test_a_new_revision_of_training_is_in_every_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results made before training changed are not taken for today's."""
    runs = plan_study(load_study("table-iv-64"), [0])
    monkeypatch.setattr("bitvit.training.recipe_fingerprint.TRAINING_REVISION", TRAINING_REVISION - 1)
    earlier = plan_study(load_study("table-iv-64"), [0])
    assert {run.digest for run in runs}.isdisjoint(run.digest for run in earlier)


def test_fingerprints_stay_what_they_are() -> None:
    """Results that were measured with an earlier version are found again."""
    recipe = Recipe.from_dict({"stage2": {"epochs": 3}, "distillation": {"kind": "none"}, "data": {"name": "digits"}})
    assert fingerprint(recipe) == "942d15394486b437"

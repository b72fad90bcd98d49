"""Checkpoints: the same model comes back, and nothing else passes for one."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from bitvit.checkpoints import (
    CheckpointError,
    CheckpointInfo,
    ModelError,
    ModelSpec,
    build_model,
    copy_weights,
    load_checkpoint,
    load_pretrained,
    preprocessing_for,
    read_info,
    save_checkpoint,
)
from bitvit.errors import OutputError
from bitvit.models import get_stage, set_stage
from bitvit.program import Preprocessing

INFO = CheckpointInfo(
    model=ModelSpec("test_gsb_deit", 3, scheme={"components_value": 1}),
    stage="full",
    labels=("a", "b", "ü"),
    preprocessing=Preprocessing((16, 16), 18, "bilinear", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
    recipe={"name": "x"},
    metrics={"top1": 0.5},
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, build_model(INFO.model), INFO)
    return path


@pytest.mark.parametrize("stage", ["weights", "full"])
def test_model_comes_back_as_it_was(tmp_path: Path, stage: str) -> None:
    torch.manual_seed(3)
    model = build_model(INFO.model)
    set_stage(model, stage)  # type: ignore[arg-type]
    info = replace(INFO, stage=stage)  # type: ignore[arg-type]
    save_checkpoint(tmp_path / "m.safetensors", model, info)
    before = torch.get_rng_state()
    found, found_info = load_checkpoint(tmp_path / "m.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    assert found_info == info == read_info(tmp_path / "m.safetensors")
    assert get_stage(found) == stage
    assert not found.training
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(found(images), model.eval()(images))
    assert found.binarization_scheme.components_value == 1  # type: ignore[union-attr]


def test_file_is_the_same_whenever_written(saved: Path, tmp_path: Path) -> None:
    model, info = load_checkpoint(saved)
    save_checkpoint(tmp_path / "again.safetensors", model, info)
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_a_run_folder_stands_for_its_model(saved: Path) -> None:
    assert load_checkpoint(saved.parent)[1] == INFO
    saved.unlink()
    with pytest.raises(CheckpointError, match="not a run folder"):
        load_checkpoint(saved.parent)
    (saved.parent / "recipe.yaml").touch()
    with pytest.raises(CheckpointError, match=r"not finished.*--resume"):
        load_checkpoint(saved.parent)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(saved)


def test_files_that_are_no_checkpoint_are_refused(saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    bad = tmp_path / "bad.safetensors"
    for damaged in (b"", b"junk", content[:-5], content[: len(content) // 2]):
        bad.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"bad.safetensors: not a readable checkpoint"):
            load_checkpoint(bad)
    save_file({"x": torch.zeros(1)}, str(bad))
    with pytest.raises(CheckpointError, match="not a bitvit checkpoint"):
        load_checkpoint(bad)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "damaged"),
        ("[", "damaged"),
        (json.dumps({"version": 1}), "older bitvit"),
        (json.dumps({"version": 2}), "older bitvit"),
        (json.dumps({"version": 4}), "newer bitvit"),
        (json.dumps({"version": 3, "model": {"name": "test_gsb_deit"}}), "damaged"),
    ],
)
def test_damaged_descriptions_are_refused(tmp_path: Path, text: str, message: str) -> None:
    bad = tmp_path / "bad.safetensors"
    save_file({"x": torch.zeros(1)}, str(bad), {"bitvit": text})
    with pytest.raises(CheckpointError, match=f"bad.safetensors: .*{message}"):
        load_checkpoint(bad)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = build_model(INFO.model)
    for other in (ModelSpec("test_binary_deit", 3), ModelSpec("test_gsb_deit", 4), ModelSpec("no_such_model", 3)):
        save_checkpoint(path, model, replace(INFO, model=other))
        with pytest.raises(CheckpointError, match=r"do not belong to|unknown model"):
            load_checkpoint(path)


def test_unwritable_place_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        save_checkpoint(tmp_path / "file" / "m.safetensors", build_model(INFO.model), INFO)


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec("no_such_model", 3),
        ModelSpec("test_gsb_deit", 3, kwargs={"no_such_argument": 1}),
        ModelSpec("test_gsb_deit", 3, scheme={"no_such_field": 1}),
        ModelSpec("test_gsb_deit", 3, scheme="no_such_scheme"),
    ],
)
def test_models_that_cannot_be_built_are_refused(spec: ModelSpec) -> None:
    with pytest.raises(ModelError, match="no_such"):
        build_model(spec)


def test_any_timm_vit_becomes_a_student() -> None:
    spec = ModelSpec("deit_tiny_distilled_patch16_224", 5, 32, "gsb", {"depth": 1})
    model = build_model(spec).train()
    class_logits, distilled = model(torch.zeros(1, 3, 32, 32))
    assert class_logits.shape == distilled.shape == (1, 5)
    prepared = preprocessing_for(model, crop_fraction=0.875)
    assert (prepared.image_size, prepared.resize_size) == ((32, 32), 37)


def test_student_takes_the_teachers_weights() -> None:
    torch.manual_seed(0)
    teacher = timm.create_model("deit_test_distilled_patch4_16", num_classes=3)
    student = build_model(ModelSpec("test_gsb_deit", 3))
    copy_weights(teacher, student)
    state = student.state_dict()
    for name, value in teacher.state_dict().items():
        assert torch.equal(state[name], value), name
    conv: Any = student.get_submodule("patch_embed.proj")
    steps = conv.weight_quantizer.steps(conv.weight)
    largest = teacher.patch_embed.proj.weight.abs().amax(dim=(1, 2, 3)) / 127
    torch.testing.assert_close(steps.detach(), largest.detach())
    with pytest.raises(ModelError, match="same shape"):
        copy_weights(teacher, build_model(ModelSpec("test_gsb_deit", 4)))


def test_published_weights_fit_other_classes_and_image_sizes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "timm.safetensors"
    published = timm.create_model("deit_test_distilled_patch4_16", num_classes=7)
    save_file(published.state_dict(), str(path))
    model = build_model(ModelSpec("deit_test_distilled_patch4_16", 3, image_size=24))
    head = model.head.weight.clone()  # type: ignore[union-attr, operator]
    load_pretrained(model, path)
    assert torch.equal(model.blocks[0].attn.qkv.weight, published.blocks[0].attn.qkv.weight)  # type: ignore[index, union-attr]
    assert torch.equal(model.head.weight, head)  # type: ignore[union-attr, arg-type]
    assert model.pos_embed.shape[1] == 2 + 36  # type: ignore[union-attr, index]
    with pytest.raises(CheckpointError, match="another model"):
        load_pretrained(build_model(ModelSpec("deit_test_odd_distilled_patch5_20", 3)), path)
    path.write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_pretrained(model, path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Safetensors says of it that it does not exist."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"x")

    def forbidden(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", forbidden)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: may not be read \(permission denied\)"):
        read_info(path)


def _with_entry(saved: Path, path: tuple[str, ...], value: Any) -> Path:
    with safe_open(str(saved), framework="pt") as file:
        description = json.loads(file.metadata()["bitvit"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
    place = description
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    save_file(tensors, str(saved), {"bitvit": json.dumps(description)})
    return saved


WRONG: dict[tuple[str, ...], tuple[Any, ...]] = {
    ("model",): (None, [], "x"),
    ("model", "name"): (None, 1, []),
    ("model", "num_classes"): (None, 0, -1, True, 1e300, 10**30, "3"),
    ("model", "image_size"): ([], -1, "x", 10**30),
    ("model", "scheme"): (1, [], True),
    ("model", "kwargs"): (None, [], "x", 1),
    ("stage",): (None, "x", [], {}),
    ("labels",): (None, "abc", [1], {"a": 1}),
    ("task",): (None, [], {}, "x", "\x1b[31m"),
    ("colors",): (1, [1], [[1, 2]], [[1, 2, 300]], [["a", "b", "c"]]),
    ("recipe",): (None, [], "x"),
    ("metrics",): (None, [], 1),
    ("preprocessing",): (None, [], {}),
    ("preprocessing", "fit"): (None, "x", []),
    ("preprocessing", "image_size"): (None, [], [16], [16, 1e300], [10**9, 10**9], "ab"),
    ("preprocessing", "interpolation"): (None, "x", [], "\x1b[31m"),
    ("preprocessing", "mean"): (None, [], [1], ["a", "b", "c"], [1e300] * 3),
    ("preprocessing", "std"): (None, [0, 0, 0], {}),
    ("preprocessing", "resize_size"): (None, -1, 10**30, "x"),
    ("preprocessing", "channels"): (None, 2, "x"),
    ("preprocessing", "value_range"): ([], [1, 1], "ab", 1),
}


@pytest.mark.parametrize("path", WRONG, ids=".".join)
def test_entries_of_another_kind_are_refused(saved: Path, path: tuple[str, ...]) -> None:
    content = saved.read_bytes()
    for value in WRONG[path]:
        saved.write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged") as caught:
            load_checkpoint(_with_entry(saved, path, value))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 500 + len(str(saved))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"img_size": []},
        {"norm_layer": "x"},
        {"act_layer": "x"},
        {"depth": "x"},
        {"depth": {}},
        {"patch_size": 0},
        {"": 1},
    ],
    ids=str,
)
def test_arguments_that_no_network_takes_are_refused(saved: Path, kwargs: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(_with_entry(saved, ("model", "kwargs"), kwargs))
    assert str(caught.value).isprintable()

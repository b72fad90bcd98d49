"""`bitvit import`: the authors' checkpoints become checkpoints of bitvit, and bad ones leave nothing behind."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

import bitvit as library
from bitvit.checkpoints import load_checkpoint
from bitvit.errors import BitvitError
from bitvit.models.reference import from_reference, set_threshold_scope, to_reference
from bitvit.training.evaluation import normalize
from tests.support.command import Command
from tests.support.golden import GoldenCase, case_names, load_case, relative_error
from tests.support.random_models import perturb, random_images

MEAN, STD = 128 / 255, 64 / 255
"""The normalization of the golden images, ``(u8 - 128) / 64``."""

NETWORKS: dict[str, dict[str, Any]] = {
    "test_reactdeit_all": {"num_attention_heads": 2},
    "test_binaryvit": {"num_attention_heads": [1, 2, 2, 4], "reduction_ratio": [4, 2, 1, 1]},
}
FAMILIES = {"test_reactdeit_all": "reactdeit", "test_binaryvit": "binaryvit"}


def authors_tensors(name: str, seed: int = 0) -> dict[str, Tensor]:
    """The tensors of a random network of ours under the authors' names."""
    torch.manual_seed(seed)
    model = timm.create_model(name)
    perturb(model, seed)
    return {key: value.contiguous() for key, value in to_reference(model, dict(model.state_dict())).items()}


@pytest.fixture
def reactdeit(tmp_path: Path) -> Path:
    """A tiny checkpoint whose heads only the config tells."""
    torch.save(authors_tensors("test_reactdeit_all"), tmp_path / "authors.pth")
    (tmp_path / "config.json").write_text(json.dumps(NETWORKS["test_reactdeit_all"]))
    return tmp_path / "authors.pth"


def assert_nothing_written(out: Path) -> None:
    assert not out.exists()
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(out.stem)] == []


@pytest.mark.parametrize("wrapper", ["plain", "model", "module", "safetensors"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_tiny_checkpoint(bitvit: Command, tmp_path: Path, name: str, wrapper: str) -> None:
    tensors = authors_tensors(name)
    file, out, config = tmp_path / "authors.pth", tmp_path / "ours.safetensors", tmp_path / "config.json"
    config.write_text(json.dumps(NETWORKS[name]))
    if wrapper == "safetensors":
        file = tmp_path / "authors.safetensors"
        save_file(tensors, file)
    else:
        named = {f"module.{key}": value for key, value in tensors.items()} if wrapper == "module" else tensors
        torch.save({"model": named, "epoch": 3} if wrapper != "plain" else named, file)
    result = bitvit("import", file, "--family", FAMILIES[name], "--config", config, "--out", out, "--json")
    assert (result.code, result.err) == (0, "")
    expected = from_reference(NETWORKS[name], tensors)
    model, info = load_checkpoint(out)
    size = vars(expected)["pretrained_cfg"]["input_size"]
    images = torch.randn(3, *size, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model(images), expected(images))
    assert info.stage == result.json["stage"] == "full"
    assert info.labels == tuple(f"class {index}" for index in range(10))
    assert result.json["model"]["name"] == info.model.name
    assert result.json["parameters"] == sum(p.numel() for p in expected.parameters())
    assert info.preprocessing.image_size == tuple(result.json["image_size"]) == size[1:]


@pytest.mark.parametrize(
    ("file_name", "text"),
    [
        ("labels.txt", "\n".join(f"kind {i}" for i in range(10)) + "\n"),
        ("labels.json", json.dumps([f"kind {i}" for i in range(10)])),
        ("index.json", json.dumps({str(i): f"kind {i}" for i in range(10)})),
        ("wordnet.json", json.dumps({str(i): [f"n{i}", f"kind {i}"] for i in range(10)})),
    ],
)
def test_labels(bitvit: Command, reactdeit: Path, tmp_path: Path, file_name: str, text: str) -> None:
    (tmp_path / file_name).write_text(text)
    out = tmp_path / "ours.safetensors"
    options = ["--config", tmp_path / "config.json", "--labels", tmp_path / file_name]
    assert bitvit("import", reactdeit, *options, "--out", out).code == 0
    assert load_checkpoint(out)[1].labels == tuple(f"kind {i}" for i in range(10))


def test_import_export_predict(bitvit: Command, reactdeit: Path, tmp_path: Path) -> None:
    out, packed = tmp_path / "ours.safetensors", tmp_path / "ours.bitvit"
    normalization = ["--mean", 0.4, 0.5, 0.6, "--std", 0.2, 0.25, 0.3]
    assert bitvit("import", reactdeit, "--config", tmp_path / "config.json", *normalization, "--out", out).code == 0
    assert bitvit("export", out, packed, "--no-compare").code == 0
    model, info = load_checkpoint(out)
    assert (info.preprocessing.mean, info.preprocessing.std) == ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    images = random_images(model, count=16, seed=3).bytes
    with torch.no_grad():
        expected = model(normalize(torch.from_numpy(images), info.preprocessing)).numpy()
    found = library.load(packed).logits(images)
    same = np.abs(found - expected).max(axis=1) < 1e-4 * np.abs(expected).max()
    assert same.mean() > 0.7, "a sign may flip in a few images"


def test_an_imported_network_is_trained_further(bitvit: Command, reactdeit: Path, tmp_path: Path) -> None:
    """With a head for the classes of the new images; also as a teacher, once it has those classes."""
    out, run = tmp_path / "ours.safetensors", tmp_path / "run"
    tensors = torch.load(reactdeit, weights_only=True)
    tensors |= {f"classifier.{leaf}": tensors[f"classifier.{leaf}"][:7] for leaf in ("weight", "bias")}
    torch.save(tensors, reactdeit)
    assert bitvit("import", reactdeit, "--config", tmp_path / "config.json", "--out", out).code == 0
    common = ["--data", "digits", "--samples-per-class", 4, "batch_size=16", "stage1.epochs=0", "stage2.epochs=1"]
    common += ["stage2.warmup_epochs=0", "runtime.accelerator=cpu", "runtime.tensorboard=false"]
    own = [f"model.weights={out}", "model.init=scratch", "distillation.kind=none"]
    result = bitvit("train", "--out", run, *common, *own)
    assert result.code == 0, result.err
    model, info = load_checkpoint(run)
    assert info.model == load_checkpoint(out)[1].model.__class__(**{**info.model.to_dict(), "num_classes": 10})
    assert info.preprocessing.mean == load_checkpoint(out)[1].preprocessing.mean
    start, end = load_checkpoint(out)[0].state_dict(), model.state_dict()
    moved = {name for name, value in start.items() if value.shape == end[name].shape and not value.equal(end[name])}
    assert len(moved) > len(start) / 2
    weight = "blocks.0.mlp.expand.linear.weight"
    assert float((start[weight] - end[weight]).abs().max()) < 0.1, "it did not start from the imported weights"
    assert bitvit("export", run, tmp_path / "run.bitvit", "--images", 8).code == 0
    student = ["model.name=test_reactdeit_avg", "model.init=scratch", "distillation.kind=soft", "teacher.epochs=0"]
    result = bitvit("train", "--out", tmp_path / "second", "--teacher", run, *common, *student)
    assert result.code == 0, result.err


def test_bad_files_write_nothing(bitvit: Command, tmp_path: Path, reactdeit: Path) -> None:
    out = tmp_path / "ours.safetensors"

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"state_dict": Evil()}))
    torch.save({"state_dict": Evil()}, tmp_path / "evil_zip.pth")
    (tmp_path / "corrupt.pth").write_bytes(reactdeit.read_bytes()[:1000])
    (tmp_path / "corrupt.safetensors").write_bytes(b"\xff" * 100)
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 3}, tmp_path / "no_tensors.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "foreign.pth")
    torch.save(timm.create_model("deit_test_patch4_16").state_dict(), tmp_path / "deit.pth")
    names = ["evil.pth", "evil_zip.pth", "corrupt.pth", "corrupt.safetensors", "empty.pth", "list.pth"]
    for name in [*names, "no_tensors.pth", "missing.pth"]:
        bitvit("import", tmp_path / name, "--family", "gsb", "--out", out).assert_one_error_line(name)
    assert not (tmp_path / "executed").exists()
    bitvit("import", tmp_path / "foreign.pth", "--family", "gsb", "--out", out).assert_one_error_line("weight")
    bitvit("import", tmp_path / "deit.pth", "--out", out).assert_one_error_line("blocks.0.attn.move_q.bias")
    assert_nothing_written(out)


def test_wrong_contents_are_named(bitvit: Command, reactdeit: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "ours.safetensors", tmp_path / "config.json"
    right = ["--config", config, "--out", out]
    bitvit("import", reactdeit, "--family", "bhvit", *right).assert_one_error_line("'reactdeit'", "'bhvit'")
    bitvit("import", reactdeit, "--family", "gsb", *right).assert_one_error_line("'gsb'")
    bitvit("import", reactdeit, "--family", "nobody", *right).assert_one_error_line("nobody")
    bitvit("import", reactdeit, "--out", out).assert_one_error_line("num_attention_heads")
    tensors = torch.load(reactdeit, weights_only=True)
    block = "vit.encoder.layer.1."
    lost = sorted(name for name in tensors if name.startswith(block) and "num_batches" not in name)
    assert len(lost) > 30
    torch.save({name: value for name, value in tensors.items() if name not in lost[1:]}, tmp_path / "lost.pth")
    bitvit("import", tmp_path / "lost.pth", *right).assert_one_error_line("missing", *lost[1:])
    torch.save(tensors | {"surplus": torch.zeros(1)}, tmp_path / "more.pth")
    bitvit("import", tmp_path / "more.pth", *right).assert_one_error_line("unexpected (1): surplus")
    torch.save(tensors | {"vit.layernorm.weight": torch.full((32,), torch.nan)}, tmp_path / "nan.pth")
    bitvit("import", tmp_path / "nan.pth", *right).assert_one_error_line("nan.pth", "NaN", "norm.weight")
    (tmp_path / "labels.txt").write_text("a\nb\n")
    bitvit("import", reactdeit, *right, "--labels", tmp_path / "labels.txt").assert_one_error_line("2 labels")
    assert_nothing_written(out)


@pytest.mark.parametrize(
    "config",
    [
        "{", "[]", '{"num_attention_heads": 0}', '{"num_attention_heads": "two"}', '{"num_attention_heads": 5}',
        '{"num_attention_heads": 2, "image_size": "large"}', '{"num_attention_heads": 2, "image_size": 1e9}',
        '{"model": 3}', '{"num_attention_heads": 2, "layer_norm_eps": null}', '{"weight_bits": 2}',
        '{"num_attention_heads": null}', '{"num_attention_heads": 2, "num_hidden_layers": -1}',
    ],
)  # fmt: skip
def test_configs_that_describe_no_network(bitvit: Command, reactdeit: Path, tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    out = tmp_path / "ours.safetensors"
    bitvit("import", reactdeit, "--config", tmp_path / "config.json", "--out", out).assert_one_error_line()
    assert_nothing_written(out)


def test_places_that_must_not_be_written(bitvit: Command, reactdeit: Path, tmp_path: Path) -> None:
    config = ["--config", tmp_path / "config.json"]
    (tmp_path / "folder.safetensors").mkdir()
    save_file(authors_tensors("test_reactdeit_all"), tmp_path / "authors.safetensors")
    before = (tmp_path / "authors.safetensors").read_bytes()
    for name in ("ours.pth", "ours.bitvit", "folder.safetensors", "nowhere/ours.safetensors"):
        bitvit("import", reactdeit, *config, "--out", tmp_path / name).assert_one_error_line(Path(name).parts[0])
    itself = bitvit("import", tmp_path / "authors.safetensors", *config, "--out", tmp_path / "authors.safetensors")
    itself.assert_one_error_line("would be overwritten")
    assert (tmp_path / "authors.safetensors").read_bytes() == before


@pytest.fixture(params=case_names())
def golden(request: pytest.FixtureRequest) -> GoldenCase:
    return load_case(request.param)


@pytest.fixture
def imported(bitvit: Command, golden: GoldenCase, tmp_path: Path) -> Path:
    """A golden checkpoint after `bitvit import`."""
    torch.save({"model": golden.state_dict}, tmp_path / "authors.pth")
    (tmp_path / "config.json").write_text(json.dumps(golden.config))
    out = tmp_path / "ours.safetensors"
    options = ["--family", golden.config["model"]["family"], "--config", tmp_path / "config.json"]
    result = bitvit(
        "import", tmp_path / "authors.pth", *options, "--mean", *[MEAN] * 3, "--std", *[STD] * 3, "--out", out
    )
    assert result.code == 0, result.err
    is_release = "clip_attn" in " ".join(golden.state_dict)
    assert ("thresholds" in result.err) == is_release
    return out


def test_golden_logits(golden: GoldenCase, imported: Path) -> None:
    expected = from_reference(golden.config, golden.state_dict)
    set_threshold_scope(expected, "image")
    model, info = load_checkpoint(imported)
    assert torch.equal(model(golden.images()), expected(golden.images()))
    assert relative_error(model(golden.images()), golden.io["logits_single"]) < 1e-5
    assert info.stage == ("weights" if golden.name == "gsb_weight_only" else "full")


def test_golden_predictions_of_the_packed_file(bitvit: Command, golden: GoldenCase, imported: Path) -> None:
    packed = imported.with_suffix(".bitvit")
    result = bitvit("export", imported, packed, "--no-compare")
    if golden.name == "gsb_weight_only":
        result.assert_one_error_line("not fully binary")
        assert not packed.exists()
        return
    assert result.code == 0, result.err
    images = golden.io["images_u8"].permute(0, 2, 3, 1).contiguous().numpy()
    found = torch.from_numpy(library.load(packed).logits(images))
    expected = golden.io["logits_single"].reshape(found.shape)
    assert torch.equal(found.argmax(dim=1), expected.argmax(dim=1))
    assert relative_error(found, expected) < 1e-4


def test_errors_are_ours() -> None:
    from bitvit.models.reference import CheckpointImportError

    assert issubclass(CheckpointImportError, BitvitError)

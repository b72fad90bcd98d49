"""Segmentation from the command line: what is found out, what is refused, and that figures agree."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitvit as package
from bitvit.cli import main
from bitvit.data.segmentation import write_scenes
from tests.support.command import Command

OVERRIDES = (
    *("model.name=test_bhvit_fpn", "teacher.model=test_bhvit_fpn_float", "model.image_size=32", "batch_size=4"),
    *("teacher.epochs=1", "teacher.warmup_epochs=0", "stage1.epochs=0", "stage2.epochs=1", "stage2.warmup_epochs=0"),
    *("runtime.threads=1", "runtime.tensorboard=false", "least_steps=0"),
)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve small scenes."""
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, "digits", 8, 4, size=40)
    return folder


@pytest.fixture(scope="session")
def trained(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on them."""
    folder = tmp_path_factory.mktemp("run") / "scenes"
    options = ("--data", str(scenes), "--out", str(folder), "--recipe", "seg-micro", *OVERRIDES)
    assert main(["train", *options]) == 0
    return folder


@pytest.fixture(scope="session")
def packed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its packed file."""
    path = tmp_path_factory.mktemp("packed") / "scenes.bitvit"
    assert main(["export", str(trained), str(path)]) == 0
    return path


def test_report_shows_masks(bitvit: Command, trained: Path, tmp_path: Path) -> None:
    result = bitvit("report", trained, "--out", tmp_path / "page.html", "--worst", 3, "--json")
    assert result.code == 0, result.err
    page = (tmp_path / "page.html").read_text("utf-8")
    assert [item["confidence"] for item in result.json["worst"]] == [None] * 3
    assert "mIoU" in page and page.count("data:image/png;base64,") >= 3
    assert result.json["packed"]["agreement"]["images"] == result.json["images"] == 4


def test_train_finds_out_and_eval_judges_alike(bitvit: Command, scenes: Path, trained: Path) -> None:
    run = trained
    figures = json.loads((run / "report.json").read_text())["phases"][-1]["evaluation"]
    assert len(figures["iou"]) == 11
    assert 0 <= figures["miou"] <= 1
    assert {"recipe.yaml", "model.safetensors", "confusion.png", "masks.png"} <= {path.name for path in run.iterdir()}
    again = bitvit("eval", run, "--json")
    assert again.code == 0, again.err
    for key in ("miou", "pixel_accuracy", "iou", "confusion", "images", "pixels"):
        assert again.json[key] == figures[key], key
    named = bitvit("eval", run, "--data", scenes, "--json").json
    assert named["miou"] == figures["miou"]
    assert "mIoU" in bitvit("eval", run, "--per-class").out


def test_the_recipe_follows_the_size_of_the_photos(bitvit: Command, scenes: Path, tmp_path: Path) -> None:
    result = bitvit("train", "--data", scenes, "--out", tmp_path / "run", "--show-recipe")
    assert "name: seg-micro" in result.out
    assert "recipe seg-micro" in result.err + result.out


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (
            ("--recipe", "gsb-micro"),
            r"gives one answer per image, but the task segmentation needs one answer per pixel",
        ),
        (("--recipe", "seg-micro", "--label-noise", "0.1"), "label_noise"),
        (("--recipe", "seg-micro", "augmentation.mixup=0.5", *OVERRIDES), r"augmentation\.mixup"),
        (("--recipe", "seg-micro", "data.balance=sampling", *OVERRIDES), r"data\.balance"),
        (("--recipe", "seg-micro", "model.image_size=30", *OVERRIDES[:2], *OVERRIDES[3:]), "multiples of"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    bitvit: Command, scenes: Path, tmp_path: Path, options: tuple[str, ...], pattern: str
) -> None:
    result = bitvit("train", "--data", scenes, "--out", tmp_path / "run", *options)
    assert result.code == 2
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert re.search(pattern, result.err.replace("\n", " ")), result.err


def spoil_missing_mask(folder: Path) -> Path:
    """Remove a mask; return the photo that lacks it."""
    (folder / "masks" / "val" / "0001.png").unlink()
    return folder / "images" / "val" / "0001.png"


def spoil_missing_photo(folder: Path) -> Path:
    """Remove a photo; return the mask that lacks it."""
    (folder / "images" / "train" / "0002.png").unlink()
    return folder / "masks" / "train" / "0002.png"


def spoil_size(folder: Path) -> Path:
    """Give a mask another size."""
    path = folder / "masks" / "train" / "0003.png"
    opened(path).resize((20, 31), Image.Resampling.NEAREST).save(path)
    return path


def spoil_class(folder: Path) -> Path:
    """Give a pixel a class beyond those of classes.csv."""
    path = folder / "masks" / "val" / "0000.png"
    mask = np.asarray(opened(path)).copy()
    mask[5, 7] = 11
    Image.fromarray(mask).save(path)
    return path


def spoil_all_ignored(folder: Path) -> Path:
    """Ignore every pixel of a mask."""
    path = folder / "masks" / "train" / "0000.png"
    Image.fromarray(np.full((32, 32), 255, np.uint8)).save(path)
    return path


def spoil_colors(folder: Path) -> Path:
    """Save a mask as RGB where no colours are listed."""
    (folder / "classes.csv").write_text("name\n" + "\n".join(f"class {number}" for number in range(11)))
    path = folder / "masks" / "val" / "0001.png"
    opened(path).convert("RGB").save(path)
    return path


@pytest.mark.parametrize(
    ("spoil", "pattern"),
    [
        (spoil_missing_mask, "has no mask"),
        (spoil_missing_photo, "has no image"),
        (spoil_size, "is 20 x 31, but 0003.png is 32 x 32"),
        (spoil_class, "has the value 11, but there are 11 classes"),
        (spoil_all_ignored, "every pixel is ignored"),
        (spoil_colors, "is an RGB mask, but no colours are known"),
    ],
)
def test_a_bad_pair_stops_before_training(
    bitvit: Command, tmp_path: Path, spoil: Callable[[Path], Path], pattern: str
) -> None:
    folder = tmp_path / "scenes"
    write_scenes(folder, "digits", 4, 2, size=32)
    path = spoil(folder)
    result = bitvit("train", "--data", folder, "--out", tmp_path / "run", "--recipe", "seg-micro")
    assert result.code == 2
    lines = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    text = " ".join(result.err.split())
    assert f"{path}: {pattern}" in text or (str(path) in result.err.replace("\n", "") and pattern in text)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def opened(path: Path) -> Image.Image:
    """A picture with its file closed."""
    with Image.open(path) as image:
        image.load()
    return image


def independent_figures(masks: list[Path], predicted: list[Path], n_classes: int) -> tuple[float, float, list[float]]:
    """mIoU, pixel accuracy and IoU by class, class by class from the files."""
    intersections, unions, right, total = np.zeros(n_classes), np.zeros(n_classes), 0, 0
    for mask_path, predicted_path in zip(masks, predicted, strict=True):
        mask, answer = (np.asarray(opened(path)) for path in (mask_path, predicted_path))
        assert mask.shape == answer.shape
        counts = mask != 255
        right, total = right + int((mask == answer)[counts].sum()), total + int(counts.sum())
        for label in range(n_classes):
            intersections[label] += ((mask == label) & (answer == label) & counts).sum()
            unions[label] += (((mask == label) | (answer == label)) & counts).sum()
    iou = [float(a / b) if b else float("nan") for a, b in zip(intersections, unions, strict=True)]
    return float(np.nanmean(iou)), right / total, iou


def test_predicted_masks_give_the_figures_of_eval(bitvit: Command, packed: Path, scenes: Path, tmp_path: Path) -> None:
    result = bitvit("predict", packed, scenes / "images" / "val", "--out", tmp_path / "masks", "--json")
    assert result.code == 0, result.err
    masks = sorted((scenes / "masks" / "val").glob("*.png"))
    predicted = [tmp_path / "masks" / path.name for path in masks]
    miou, accuracy, iou = independent_figures(masks, predicted, 11)
    figures = bitvit("eval", packed, "--data", scenes, "--json").json
    assert figures["miou"] == pytest.approx(miou, abs=1e-6)
    assert figures["pixel_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    for found, expected in zip(figures["iou"].values(), iou, strict=True):
        assert found == pytest.approx(expected, abs=1e-6, nan_ok=True) if found is not None else np.isnan(expected)
    assert opened(predicted[0]).mode == "P"
    answers = result.json["images"]
    assert [Path(answer["image"]).name for answer in answers] == [path.name for path in masks]
    for answer, path in zip(answers, predicted, strict=True):
        labels = np.asarray(opened(path))
        assert sum(part["share"] for part in answer["shares"]) == pytest.approx(1)
        for part in answer["shares"]:
            assert part["share"] == pytest.approx((labels == part["index"]).mean())


def test_masks_have_the_photos_own_size_and_overlays_their_colours(
    bitvit: Command, packed: Path, tmp_path: Path
) -> None:
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8))
    photo.save(tmp_path / "photo.jpg")
    result = bitvit("predict", packed, tmp_path / "photo.jpg", "--out", tmp_path / "masks", "--overlay")
    assert result.code == 0, result.err
    mask = opened(tmp_path / "masks" / "photo.png")
    assert mask.size == (90, 50)
    overlay = opened(tmp_path / "masks" / "overlays" / "photo.png")
    assert (overlay.size, overlay.mode) == ((90, 50), "RGB")
    answer = package.load(packed).predict(tmp_path / "photo.jpg")
    np.testing.assert_array_equal(answer.label_map, np.asarray(mask))
    assert answer.labels[0] == "background"
    assert mask.getpalette()[3:6] == list(answer.colors[1])
    assert "background" in result.out or "share" in result.out


def test_two_photos_with_one_name_are_refused(bitvit: Command, packed: Path, tmp_path: Path) -> None:
    for name in ("photo.jpg", "photo.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    result = bitvit("predict", packed, tmp_path / "photo.jpg", tmp_path / "photo.png", "--out", tmp_path / "masks")
    assert result.code == 2
    assert "photo.png" in result.err and "two folders" in result.err


def test_info_names_task_and_classes(bitvit: Command, packed: Path) -> None:
    text = bitvit("info", packed).out
    assert "argmax_channels" in text and "segmentation" in text and "background" in text
    document = bitvit("info", packed, "--json").json
    assert document["task"] == "segmentation"
    assert document["labels"][0] == "background" and len(document["labels"]) == len(document["colors"]) == 11


def test_complexity_counts_network_and_file_alike(bitvit: Command, packed: Path) -> None:
    kinds = {item["operator"] for item in bitvit("complexity", packed, "--json").json["operators"]}
    assert any("argmax_channels" in kind for kind in kinds)
    assert bitvit("complexity", "test_bhvit_fpn").code == 0


def test_bench_times_a_file(bitvit: Command, packed: Path) -> None:
    result = bitvit("bench", packed, "--only-bitvit", "--rounds", "2", "--json")
    assert result.code == 0, result.err
    assert result.json["results"]


def test_inspect_draws_a_run(bitvit: Command, trained: Path, tmp_path: Path) -> None:
    result = bitvit("inspect", trained, "--out", tmp_path / "page", "--images", "4")
    assert result.code == 0, result.err
    numbers = json.loads((tmp_path / "page" / "inspect.json").read_text())
    assert "miou" in json.dumps(numbers["modules"])
    assert {"report.html", "modules.png"} <= {path.name for path in (tmp_path / "page").iterdir()}


@pytest.mark.parametrize("channels", [1, 4])
def test_photos_of_other_channels(bitvit: Command, tmp_path: Path, channels: int) -> None:
    folder, run, file = tmp_path / "scenes", tmp_path / "run", tmp_path / "scenes.bitvit"
    write_scenes(folder, "digits", 4, 2, size=32)
    for path in sorted((folder / "images").rglob("*.png")):
        opened(path).convert({1: "L", 4: "RGBA"}[channels]).save(path)
    options = ("--data", folder, "--out", run, "--recipe", "seg-micro", *OVERRIDES, f"data.channels={channels}")
    result = bitvit("train", *options)
    assert result.code == 0, result.err
    assert (run / "masks.png").is_file()
    assert bitvit("export", run, file).code == 0
    result = bitvit("predict", file, folder / "images" / "val", "--out", tmp_path / "masks", "--overlay")
    assert result.code == 0, result.err
    assert opened(tmp_path / "masks" / "0000.png").size == (32, 32)
    own, packed = (bitvit("eval", what, "--data", folder, "--json").json for what in (run, file))
    assert packed["pixel_accuracy"] == pytest.approx(own["pixel_accuracy"], abs=0.01)

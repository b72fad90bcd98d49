"""A run's folder: locked while it is trained in, bound to its data, found from anywhere, extended."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bitvit.checkpoints import CheckpointError, load_checkpoint
from bitvit.data import DataError, build_data
from bitvit.errors import OutputError
from bitvit.files import hold_lock
from bitvit.training import EpochRecord, RecipeError, Run, TrainingError, train
from bitvit.training.estimate import describe_cpu
from bitvit.training.fit_context import reporting_interrupts
from tests.support.tiny_training import tiny_recipe

SHORT = {"teacher__epochs": 1, "teacher__warmup_epochs": 0, "stage1__epochs": 0, "stage2__epochs": 2}

HOLDER = """
import sys, time
from pathlib import Path
from bitvit.files import hold_lock
with hold_lock(Path(sys.argv[1])) as ours:
    print(ours, flush=True)
    time.sleep(600)
"""


def test_two_runs_in_one_folder(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data", **SHORT)
    out = tmp_path / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(out / ".lock")], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline().strip() == "True"
        with pytest.raises(TrainingError, match="another process is training there"):
            train(recipe, out)
        with hold_lock(out / ".lock") as ours:
            assert not ours
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    train(recipe, out)  # a killed process leaves no lock behind


def folder_of_images(path: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 8) -> None:
    for number, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for index in range(each):
            Image.new("RGB", (18, 16), (60 * number, 20 * index, 90)).save(path / name / f"{index}.png")


def test_a_resumption_tells_what_has_changed(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    folder_of_images(photos)
    recipe = tiny_recipe(tmp_path / "idx", **SHORT, data__name=str(photos), data__folder=None)

    def stop(record: EpochRecord) -> None:
        if record.phase == "stage2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", on_epoch=stop)
    before = (tmp_path / "run" / "recipe.yaml").read_bytes()

    def refused() -> str:
        with pytest.raises(DataError, match="cannot be resumed: the data set") as caught:
            train(recipe, tmp_path / "run", resume=True)
        assert (tmp_path / "run" / "recipe.yaml").read_bytes() == before
        return str(caught.value)

    Image.new("RGB", (18, 16), (1, 2, 3)).save(photos / "cat" / "99.png")
    assert "number of" in refused()
    (photos / "cat" / "99.png").unlink()
    content = (photos / "dog" / "3.png").read_bytes()
    Image.new("RGB", (18, 16), (9, 9, 9)).save(photos / "dog" / "3.png")
    assert "content of" in refused()
    (photos / "dog" / "3.png").write_bytes(content)
    (photos / "dog").rename(photos / "wolf")
    assert "classes ('dog' is gone, 'wolf' is new)" in refused()
    (photos / "wolf").rename(photos / "dog")
    for file in photos.rglob("*.png"):
        os.utime(file, (1, 1))  # a copy of the folder has other times, and is the same data
    train(recipe, tmp_path / "run", resume=True)


def test_a_run_is_found_again_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder_of_images(tmp_path / "here" / "photos")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    recipe = tiny_recipe(tmp_path / "idx", **SHORT, data__name="photos", data__folder=None)
    report = train(recipe, "run")
    monkeypatch.chdir(tmp_path / "there")
    again = train(recipe.load(tmp_path / "here" / "run" / "recipe.yaml"), tmp_path / "here" / "run", resume=True)
    assert again.final.evaluation == report.final.evaluation
    stored = load_checkpoint(tmp_path / "here" / "run")[1].recipe["data"]["name"]
    assert Path(stored) == tmp_path / "here" / "photos"


def test_what_was_deleted_of_a_finished_run_is_written_again(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data", **SHORT)
    train(recipe, tmp_path / "run")
    files = [tmp_path / "run" / name for name in ("metrics.csv", "report.json", "loss.png", "confusion.png")]
    before = [file.read_bytes() for file in files]
    for file in files:
        file.unlink()
    train(recipe, tmp_path / "run", resume=True)
    assert [file.read_bytes() for file in files[:2]] == before[:2]
    assert all(file.is_file() for file in files)


def test_a_finished_run_is_extended(tmp_path: Path) -> None:
    short = tiny_recipe(tmp_path / "data", **SHORT)
    long = tiny_recipe(tmp_path / "data", **{**SHORT, "stage2__epochs": 4})
    train(short, tmp_path / "run")
    before = load_checkpoint(tmp_path / "run")[0].state_dict()
    epochs: list[EpochRecord] = []
    report = train(long, tmp_path / "run", resume=True, on_epoch=epochs.append)
    assert [(record.phase, record.epoch) for record in epochs] == [("stage2", 3), ("stage2", 4)]
    assert report.final.epochs == 4
    after = load_checkpoint(tmp_path / "run")[0].state_dict()
    assert not (after["blocks.0.attn.qkv.weight"] == before["blocks.0.attn.qkv.weight"]).all(), "nothing was learned"
    rate = long.stage2.learning_rate
    # At the end of epoch 3 of 4 the cosine has come down to (1 + cos(3/4 pi)) / 2 of the rate.
    assert epochs[0].learning_rate == pytest.approx(rate * 0.1464466, rel=1e-5)
    assert json.loads((tmp_path / "run" / "report.json").read_text()) == report.to_dict()
    assert load_checkpoint(tmp_path / "run")[1].recipe["stage2"]["epochs"] == 4
    with pytest.raises(RecipeError, match=r"changed: stage2\.epochs"):
        train(short, tmp_path / "run", resume=True)


def test_time_and_memory_are_estimated(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data", **{**SHORT, "stage1__epochs": 1})
    run = Run(recipe, tmp_path / "run")
    weights = {name: value.clone() for name, value in run.student.model.state_dict().items()}
    found = run.estimate()
    assert list(found.minutes) == ["teacher", "stage1", "stage2"]
    assert all(minutes > 0 for minutes in found.minutes.values())
    size = sum(value.numel() * value.element_size() for value in run.student.model.parameters())
    assert found.memory_bytes > 4 * size
    assert (
        found.memory_bytes
        < Run(replace(recipe, runtime=replace(recipe.runtime, image_cache_mib=0)), tmp_path / "run")
        .estimate()
        .memory_bytes
        + 18 * 28 * 28 * 3
    ), "the images that are kept"
    assert "about" in str(found) and "memory" in str(found)
    assert str(replace(found, device=describe_cpu(1))).count("on 1 CPU thread (") == 1
    assert describe_cpu(2) == "2 CPU threads"
    for name, value in run.student.model.state_dict().items():
        assert bool((value == weights[name]).all()), "an estimate leaves the student alone"
    shutil.rmtree(tmp_path / "run", ignore_errors=True)


def test_images_that_moved_are_the_same_images(tmp_path: Path) -> None:
    folder_of_images(tmp_path / "photos")
    recipe = tiny_recipe(tmp_path / "idx", **SHORT, data__name=str(tmp_path / "photos"), data__folder=None)
    train(recipe, tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "photos").rename(tmp_path / "elsewhere" / "pictures")
    longer = {**SHORT, "stage2__epochs": 3}
    train(
        tiny_recipe(tmp_path / "idx", **longer, data__name=str(moved), data__folder=None), tmp_path / "run", resume=True
    )
    assert str(moved) in (tmp_path / "run" / "recipe.yaml").read_text()
    folder_of_images(tmp_path / "others", classes=("cat", "cow"))
    other = tiny_recipe(tmp_path / "idx", **longer, data__name=str(tmp_path / "others"), data__folder=None)
    with pytest.raises(DataError, match="'dog' is gone, 'cow' is new"):
        train(other, tmp_path / "run", resume=True)


def test_a_run_does_not_lie_among_its_own_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loss curve would be an image of a class called `run`."""
    folder_of_images(tmp_path / "photos")
    recipe = tiny_recipe(tmp_path / "idx", **SHORT, data__name=str(tmp_path / "photos"), data__folder=None)
    monkeypatch.chdir(tmp_path / "photos")
    (tmp_path / "link").symlink_to("photos")
    for out in ("run", "deeper/../runs/a", str(tmp_path / "link" / "run")):
        with pytest.raises(TrainingError, match="lies in the folder of the images"):
            train(recipe, out)
    assert sorted(path.name for path in (tmp_path / "photos").iterdir()) == ["cat", "dog"]
    assert train(recipe, tmp_path / "photos run").folder.is_dir()


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data", **SHORT)
    (tmp_path / "run").symlink_to(tmp_path / "gone")
    with pytest.raises(OutputError, match="run: it is a link that leads nowhere"):
        train(recipe, tmp_path / "run")
    with pytest.raises(DataError, match="run: this is a link that leads nowhere"):
        build_data(str(tmp_path / "run"))


def test_a_damaged_state_is_one_line_of_ours(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path / "data", **SHORT)

    def stop(record: EpochRecord) -> None:
        if record.phase == "stage2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "run", on_epoch=stop)
    (tmp_path / "run" / "state" / "stage2.ckpt").write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="state is damaged; delete it to restart this phase") as caught:
        train(recipe, tmp_path / "run", resume=True)
    assert "weights_only" not in str(caught.value)


def test_label_swaps_are_called_so(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for part in ("train", "val"):
        folder_of_images(photos / part)
    recipe = tiny_recipe(tmp_path / "idx", **SHORT, data__name=str(photos), data__folder=None)
    train(recipe, tmp_path / "run")
    names = [photos / "train" / "cat" / "3.png", photos / "train" / "dog" / "3.png"]
    first, second = (path.read_bytes() for path in names)
    names[0].write_bytes(second)
    names[1].write_bytes(first)
    with pytest.raises(DataError, match="labels of training images"):
        train(recipe, tmp_path / "run", resume=True)


def raise_while_cleaning_up() -> None:
    """As Lightning does where a DataLoader cannot start its workers."""
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError:
        raise RuntimeError("Please call `iter(combined_loader)` first.")  # noqa: B904


def test_full_shared_memory_is_named() -> None:
    full = pytest.raises(TrainingError, match=r"shared memory \(/dev/shm\).*runtime\.workers=0")
    with full, reporting_interrupts("stage1", 3, lambda: 1):
        raise_while_cleaning_up()
    with pytest.raises(TrainingError, match=r"/dev/shm"), reporting_interrupts("stage1", 3, lambda: 1):
        raise RuntimeError("unable to write to file </torch_1>: No space left; shm")
    with pytest.raises(RuntimeError, match="shapes"), reporting_interrupts("stage1", 3, lambda: 1):
        raise RuntimeError("shapes do not agree")
    with pytest.raises(FileNotFoundError), reporting_interrupts("stage1", 3, lambda: 1):
        raise FileNotFoundError(errno.ENOENT, "No such file")

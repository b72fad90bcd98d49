"""Files on the hub: pushed, loaded, cached, refused. A stand-in serves the hub's HTTP interface on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import bitvit
from bitvit.program import BitvitFile, read_file, write_file
from tests.support.command import Command, Result
from tests.support.hub_stand_in import TOKEN, Hub, running_hub
from tests.support.page_blocks import ROOT, blocks_of

pytest.importorskip("huggingface_hub")

Python = Callable[..., str]
Commands = Callable[..., list[Result]]

_RUN_COMMANDS = """
import contextlib, io, json, sys
from bitvit.cli import main
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


@pytest.fixture
def python(hub: Hub, tmp_path: Path) -> Python:
    """Python code in a process of its own: `huggingface_hub` reads its environment when it is imported."""

    def start(code: str, *arguments: str, **environment: str) -> str:
        base = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        cache = {"HF_HOME": str(tmp_path / "hub"), "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}
        variables = {**base, **cache, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment}
        command = [sys.executable, "-c", code, *arguments]
        result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=variables, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout

    return start


@pytest.fixture
def commands(python: Python) -> Commands:
    """Several commands in one such process."""

    def run(*lines: list[object], **environment: str) -> list[Result]:
        words = [[str(word) for word in line] for line in lines]
        printed = python(_RUN_COMMANDS, json.dumps(words), **environment)
        return [Result(*json.loads(line)) for line in printed.splitlines()]

    return run


def test_push_then_predict_then_offline(hub: Hub, commands: Commands, packed_file: Path, photo: Path) -> None:
    (pushed,) = commands(["push", packed_file, "ann/photos", "--license", "apache-2.0"], HF_TOKEN=TOKEN)
    assert pushed.code == 0, pushed.err
    assert "hf://ann/photos" in pushed.out
    files = hub.commits["ann/photos"][-1]
    assert files["model.bitvit"] == packed_file.read_bytes()
    assert files["README.md"].startswith(b"---\nlicense: apache-2.0\n")

    predict = ["predict", "hf://ann/photos", photo, "--format", "csv"]
    local, remote = commands(["predict", packed_file, *predict[2:]], predict)
    assert (remote.code, remote.out) == (0, local.out), remote.err
    asked = len(hub.requests)
    (offline,) = commands(predict, HF_HUB_OFFLINE="1")
    assert (offline.code, offline.out) == (0, local.out), offline.err
    assert len(hub.requests) == asked
    # The content is not downloaded a second time: the hub is only asked whether it has changed.
    assert commands(["info", "hf://ann/photos", "--json"])[0].code == 0
    assert not [line for line in hub.requests[asked:] if line.startswith("GET") and "/resolve/" in line]


def test_library_loads_by_name_and_revision(hub: Hub, python: Python, packed_file: Path, photo: Path) -> None:
    hub.put("ann/photos", {"model.bitvit": packed_file.read_bytes()})
    hub.put("ann/photos", {"model.bitvit": b"spoilt", "README.md": b"# photos"})
    first = hub.sha("ann/photos", 0)
    code = f"""
import sys, bitvit
from pathlib import Path
from bitvit.runtime import Predictor
local = bitvit.load({str(packed_file)!r}).predict({str(photo)!r})
for predictor in (
    Predictor.from_pretrained("ann/photos", revision={first!r}),
    bitvit.load("hf://ann/photos@{first}"),
    bitvit.load(Path("hf://ann/photos@{first}/model.bitvit")),
):
    assert predictor.predict({str(photo)!r}).logits.tolist() == local.logits.tolist()
assert "torch" not in sys.modules
try:
    bitvit.load("hf://ann/photos")
except bitvit.errors.BitvitError as error:
    print(error)
"""
    assert "model.bitvit" in python(code)  # the newest file is malformed, and named


def test_file_of_another_name_and_several(hub: Hub, commands: Commands, packed_file: Path) -> None:
    content = packed_file.read_bytes()
    hub.put("ann/one", {"deep/cats.bitvit": content})
    hub.put("ann/two", {"a.bitvit": content, "b.bitvit": content})
    one, several, named, counted = commands(
        ["info", "hf://ann/one"],
        ["info", "hf://ann/two"],
        ["info", "hf://ann/two/b.bitvit"],
        ["complexity", "hf://ann/two/b.bitvit"],
    )
    assert (one.code, named.code, counted.code) == (0, 0, 0)
    several.assert_one_error_line("a.bitvit", "b.bitvit")
    assert commands(["info", "hf://ann/one"], HF_HUB_OFFLINE="1")[0].code == 0


def test_what_the_hub_refuses_is_one_line(hub: Hub, commands: Commands, packed_file: Path, tmp_path: Path) -> None:
    hub.put("ann/empty", {"README.md": b"# nothing"})
    for name in ("photos", "secret", "gated"):
        hub.put(f"ann/{name}", {"model.bitvit": packed_file.read_bytes()})
    hub.private.add("ann/secret")
    hub.gated.add("ann/gated")
    refused = {
        "hf://ann/nothing": "no such repository",
        "hf://ann/empty": "no .bitvit file",
        "hf://ann/photos/other.bitvit": "no such file",
        "hf://ann/photos@v9": "branch, tag or commit",
        "hf://ann/secret": "private",
        "hf://ann/gated": "restricted",
        **dict.fromkeys(
            ["hf://ann", "hf://a/b/../../x", "hf://datasets/a/b", "hf://a b/c", "hf://a/b@"], "expected hf:"
        ),
    }
    refused["hf://datasets/a/b"] = "models"
    *answers, pushed = commands(*(["info", name] for name in refused), ["push", packed_file, "ann/photos"])
    for (name, reason), answer in zip(refused.items(), answers, strict=True):
        answer.assert_one_error_line(name, reason)
    pushed.assert_one_error_line("log in")
    spoilt = tmp_path / "spoilt.bitvit"
    spoilt.write_bytes(packed_file.read_bytes()[:-1])
    secret, one_word, malformed = commands(
        ["info", "hf://ann/secret"], ["push", packed_file, "photos"], ["push", spoilt, "ann/new"], HF_TOKEN=TOKEN
    )
    assert secret.code == 0
    one_word.assert_one_error_line("user/name")
    malformed.assert_one_error_line("spoilt.bitvit")
    assert "ann/new" not in hub.commits
    missing, offline = commands(
        ["info", "hf://ann/other"], ["push", packed_file, "a/b"], HF_HUB_OFFLINE="1", HF_TOKEN=TOKEN
    )
    missing.assert_one_error_line("HF_HUB_OFFLINE")
    offline.assert_one_error_line("OFFLINE")


def test_without_the_package(commands: Commands, packed_file: Path, tmp_path: Path) -> None:
    (tmp_path / "huggingface_hub.py").write_text("raise ImportError('not here')")
    remote, local = commands(["info", "hf://ann/photos"], ["info", packed_file], PYTHONPATH=str(tmp_path))
    remote.assert_one_error_line("pip install 'bitvit[hub]'")
    assert local.code == 0


def test_own_card_is_kept(hub: Hub, commands: Commands, packed_file: Path) -> None:
    hub.put("ann/photos", {"README.md": b"---\nlicense: mit\n---\n# Ann's photos\n"})
    push: list[object] = ["push", packed_file, "ann/photos"]
    kept, replaced, again = commands(push, [*push, "--replace-card"], [*push, "--license", "mit"], HF_TOKEN=TOKEN)
    assert (kept.code, replaced.code, again.code) == (0, 0, 0)
    assert "--replace-card" in kept.err and "--replace-card" not in again.err
    first, second, third = (files["README.md"] for files in hub.commits["ann/photos"][-3:])
    assert first.endswith(b"# Ann's photos\n")
    assert b"`bitvit push`" in second
    assert b"license: mit" in third


def test_card_says_what_the_file_says(bitvit: Command, packed_file: Path, tmp_path: Path) -> None:
    file = read_file(packed_file)
    file.provenance |= {
        "model": "test_gsb_deit",
        "data": {"name": "photos of <b>cats</b> | dogs"},
        "agreement": {
            "images": 500,
            "identical_predictions": 0.998,
            "packed_accuracy": 0.912,
            "checkpoint_accuracy": 0.914,
            "checkpoint_bytes": 4_000_000,
        },
        "license": "cc-by-4.0",
    }
    labels = ["<script>", "a|b", "new\nline", *file.labels[3:]]
    path = tmp_path / "cats.bitvit"
    write_file(path, BitvitFile(file.program, file.tensors, file.preprocessing, labels, file.provenance))
    card = bitvit("push", path, "ann/cats", "--show-card").out
    head, body = card.removeprefix("---\n").split("---\n", 1)
    metadata = yaml.safe_load(head)
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["pipeline_tag"] == "image-classification"
    metrics = metadata["model-index"][0]["results"][0]["metrics"]
    assert metrics == [{"type": "accuracy", "name": "top-1", "value": 0.912}]
    for part in ("91.20% of 500 images", "91.40%", "99.80%", "hf://ann/cats", "16 × 16 pixels, RGB", "test\\_gsb"):
        assert part in body, part
    assert "\\<script\\>" in body and "\\<b\\>" in body
    assert "new\nline" not in body


def test_any_provenance_gives_a_card(packed_file: Path) -> None:
    from bitvit.publishing import model_card

    file = read_file(packed_file)
    strange: list[dict[str, Any]] = [
        {},
        {"agreement": 3, "data": [], "metrics": "x", "model": {"a": 1}},
        {"agreement": {"images": "x", "packed_accuracy": True}, "license": ["a"]},
    ]
    for provenance in strange:
        file.provenance = provenance
        card = model_card(file, 10, "a/b")
        assert yaml.safe_load(card.split("---\n")[1])["library_name"] == "bitvit"


def test_checkpoints_travel_by_the_functions_of_timm(hub: Hub, python: Python) -> None:
    code = """
import bitvit, timm, torch
for name in ("test_gsb_deit", "test_bhvit", "test_binaryvit"):
    model = timm.create_model(name, num_classes=3).eval()
    timm.models.push_to_hf_hub(model, "ann/" + name, private=False)
    again = timm.create_model("hf-hub:ann/" + name, pretrained=True).eval()
    x = torch.randn(2, *model.pretrained_cfg["input_size"])
    print(name, torch.equal(model(x), again(x)), again.num_classes)
"""
    names = ("test_gsb_deit", "test_bhvit", "test_binaryvit")
    assert python(code, HF_TOKEN=TOKEN).splitlines()[-3:] == [f"{name} True 3" for name in names]
    assert json.loads(hub.commits["ann/test_bhvit"][-1]["config.json"])["architecture"] == "test_bhvit"


def test_the_page_runs(hub: Hub, python: Python, packed_file: Path, photo: Path, tmp_path: Path) -> None:
    """docs/hub.md: its commands, then its blocks of Python."""
    blocks = blocks_of(ROOT / "docs" / "hub.md")
    commands = [line for block in blocks if block.language == "bash" for line in block.commands()]
    assert commands[0].startswith("pip install ")
    (tmp_path / "photos.bitvit").write_bytes(packed_file.read_bytes())
    photo.rename(tmp_path / "new.jpg")
    code = f"""
import os, shlex
from bitvit.cli import main
os.chdir({str(tmp_path)!r})
for line in {commands[1:]!r}:
    assert main(shlex.split(line)[1:]) == 0, line
for block in {[block.text for block in blocks if block.language == "python"]!r}:
    exec(block)
print(predictor.predict("new.jpg").label, again.num_classes)
"""
    expected = bitvit.load(packed_file).predict(tmp_path / "new.jpg").label
    assert python(code, HF_TOKEN=TOKEN).splitlines()[-1] == f"{expected} 3"
    assert {"user/photos", "user/weights"} <= hub.commits.keys()

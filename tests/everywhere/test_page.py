"""The page in a real Chromium: opened from the disk, files by drop, logits equal to Python's to the bit.

Run by ``make test-everywhere``, which installs Chromium and playwright; skipped where they are missing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bitvit
from bitvit.cli import main
from bitvit.trained import trained_model
from tests.everywhere.test_one_answer import digests_of_python, files, pictures, web
from tests.support.browser import chromium, drop, opened, shown_digests, shown_logits
from tests.support.sealed_file import parts, sealed

__all__ = ["files", "pictures"]
pytestmark = pytest.mark.everywhere


@pytest.fixture(scope="module")
def page_file() -> Path:
    return web() / "bitvit.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def test_the_page_opens_with_a_model_and_a_picture(browser: Any, page_file: Path) -> None:
    trained = trained_model("digits")
    assert trained is not None
    expected = bitvit.load("digits").predict(trained.sample)
    with opened(browser, page_file) as page:
        assert page.inner_text("h1") == "digits"
        assert page.inner_text("#best") == expected.label
        assert page.inner_text("#confidence") == f"probability {100 * expected.probability:.1f} %"
        assert page.locator("#bars li").count() == 5
        assert "ms" in page.inner_text("#time")
        assert "gsb_deit_micro_patch8_32" in page.inner_text("#facts")
        assert shown_logits(page).tobytes() == expected.logits.tobytes()
        page.select_option("#model-choice", label="fashion-mnist")
        page.wait_for_selector("h1:text-is('fashion-mnist')")
        page.evaluate("queue")
        fashion = trained_model("fashion-mnist")
        assert fashion is not None
        assert page.inner_text("#best") == bitvit.load("fashion-mnist").predict(fashion.sample).label


def test_fifty_pictures_by_drop(browser: Any, page_file: Path, files: list[Path], pictures: list[Path],
                                tmp_path: Path) -> None:  # fmt: skip
    pngs = [tmp_path / f"{path.stem}.png" for path in pictures]
    for path, png in zip(pictures, pngs, strict=True):
        Image.open(path).save(png)
    for file in files:
        with opened(browser, page_file) as page:
            drop(page, file, *pngs)
            assert page.locator("#message").is_hidden()
            digests = shown_digests(page)
            assert [digests[png.name] for png in pngs] == digests_of_python(file, pictures, "portable")


def test_kinds_of_pictures(browser: Any, page_file: Path, files: list[Path], tmp_path: Path) -> None:
    """Opacity, palettes, orientation, profiles and formats without loss: equal after decoding."""
    rng = np.random.default_rng(4)
    rgba = Image.fromarray(rng.integers(0, 256, (61, 83, 4), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba.save(tmp_path / "opacity.png")
    rgba.convert("RGB").quantize(200).save(tmp_path / "palette.png")
    rgba.convert("RGB").save(tmp_path / "turned.png", exif=exif)
    rgba.convert("RGB").save(tmp_path / "lossless.webp", lossless=True)
    rgba.convert("RGB").save(tmp_path / "bitmap.bmp")
    rgba.convert("1").save(tmp_path / "two-colours.png")
    kinds = sorted(tmp_path.iterdir())
    with opened(browser, page_file) as page:
        drop(page, files[0], *kinds)
        digests = shown_digests(page)
        expected = digests_of_python(files[0], kinds, "portable")
        assert {path.name: digests[path.name] for path in kinds} == dict(
            zip([path.name for path in kinds], expected, strict=True)
        )


def test_bad_files(browser: Any, page_file: Path, files: list[Path], tmp_path: Path) -> None:
    damaged = bytearray(files[0].read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "damaged.bitvit").write_bytes(damaged)
    (tmp_path / "short.bitvit").write_bytes(b"abc")
    (tmp_path / "notes.txt").write_text("no picture")
    with opened(browser, page_file) as page:
        before = shown_logits(page)
        drop(page, tmp_path / "damaged.bitvit")
        assert page.inner_text("#message").startswith("damaged.bitvit: ChecksumError: ")
        drop(page, tmp_path / "short.bitvit")
        assert page.inner_text("#message").startswith("short.bitvit: TruncatedFileError: ")
        drop(page, tmp_path / "notes.txt")
        assert page.inner_text("#message") == (
            "notes.txt: neither a .bitvit file nor a picture that this browser can read"
        )
        assert page.inner_text("h1") == "digits" and shown_logits(page).tobytes() == before.tobytes()
        drop(page, files[0])  # a good file takes the message away
        assert page.locator("#message").is_hidden()


@pytest.mark.parametrize(
    "provenance",
    [
        {"metrics": None, "agreement": None, "data": None},
        {"metrics": 0.5, "agreement": "all", "data": ["digits"], "recipe": {"name": "own"}, "date": 7},
        {
            "metrics": {"top1": "high"},
            "agreement": {"identical_predictions": None},
            "model": [None],
            "bitvit_version": {},
        },
        {"metrics": {"top1": 0.25}, "agreement": {"identical_predictions": 1}, "data": {"name": "<b>digits</b>"}},
    ],
)
def test_whatever_a_file_says_of_its_origin(
    browser: Any, page_file: Path, files: list[Path], tmp_path: Path, provenance: dict[str, Any]
) -> None:
    metadata, tensors = parts(files[0].read_bytes())
    (tmp_path / "odd.bitvit").write_bytes(sealed(metadata | {"provenance": json.dumps(provenance)}, tensors))
    with opened(browser, page_file) as page:
        drop(page, tmp_path / "odd.bitvit")
        assert page.locator("#message").is_hidden()
        assert page.inner_text("h1") == "odd"
        facts = page.inner_text("#facts")
        assert "odd.bitvit" in facts
        data = provenance.get("data")
        if isinstance(data, dict):
            assert data["name"] in facts


def test_segmentation_mask(browser: Any, page_file: Path, files: list[Path], tmp_path: Path) -> None:
    file, picture = files[3], tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(picture)
    model = bitvit.load(file)
    label_map = model.predict(picture).label_map
    with opened(browser, page_file) as page:
        drop(page, file, picture)
        assert page.locator("#mask").is_visible() and page.locator("#opacity").is_visible()
        mask = page.evaluate(
            "(() => { const c = document.getElementById('mask');"
            " return [c.width, c.height, [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]]; })()"
        )
        colors = page.evaluate("state.facts.colors")
        assert mask[:2] == [120, 90]
        found = np.array(mask[2], np.uint8).reshape(90, 120, 4)[..., :3]
        assert np.array_equal(found, np.array(colors, np.uint8)[label_map])
        largest = np.bincount(label_map.ravel()).argmax()
        assert page.inner_text("#best") == f"class {largest}"


def test_keyboard_camera_and_phone(browser: Any, page_file: Path) -> None:
    with opened(browser, page_file, viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for key in ("Enter", "Space"):
            page.focus("#open-pictures")
            with page.expect_file_chooser() as chooser:
                page.keyboard.press(key)
            assert chooser.value.is_multiple()
        page.focus("#camera")
        page.keyboard.press("Space")
        page.wait_for_selector("#camera[aria-pressed=true]")
        page.wait_for_selector("#video:visible")
        page.wait_for_selector("#bars li:nth-child(5)")
        page.keyboard.press("Space")
        page.wait_for_selector("#camera[aria-pressed=false]")
        page.wait_for_selector("#photo:visible")


def test_the_page_of_the_command(browser: Any, page_file: Path, files: list[Path], tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    picture = tmp_path / "own.png"
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(picture)
    assert main(["web", str(files[1]), "--pictures", str(picture), "--out", "photos.html"]) == 0
    expected = bitvit.load(files[1]).predict(picture)
    with opened(browser, tmp_path / "photos.html") as page:
        assert page.inner_text("h1") == files[1].stem
        assert shown_logits(page).tobytes() == expected.logits.tobytes()
        refused = page.evaluate("fetch('https://example.org').then(() => 'answered', () => 'refused')")
        assert refused == "refused"


def test_dark_and_light_differ(browser: Any, page_file: Path) -> None:
    paper = {}
    for scheme in ("light", "dark"):
        with opened(browser, page_file, color_scheme=scheme) as page:
            paper[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(246, 247, 248)", "dark": "rgb(16, 19, 22)"}

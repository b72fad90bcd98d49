"""Texts and profiles in PNG files that Pillow finds too long."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from bitvit.runtime.decoding import open_image
from bitvit.runtime.png_chunks import without_long_texts

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


def png(kind: str, pixels: np.ndarray = PIXELS, xmp: bool = False) -> bytes:
    texts = PngImagePlugin.PngInfo()
    if kind == "compressed":
        texts.add_text("workflow", "a" * 3_000_000, zip=True)
    elif kind == "international":
        texts.add_itxt("workflow", "ä" * 2_000_000, zip=True)
    elif kind == "many":
        for number in range(70):
            texts.add_text(f"note {number}", "b" * 1_000_000, zip=True)
    if xmp:
        texts.add_itxt("XML:com.adobe.xmp", XMP)
    stream = io.BytesIO()
    profile = b"p" * 3_000_000 if kind == "profile" else None
    Image.fromarray(pixels).save(stream, "PNG", pnginfo=texts, icc_profile=profile)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["compressed", "international", "many", "profile"])
def test_long_texts_do_not_hide_the_image(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "generated.png"
    path.write_bytes(png(kind))
    with pytest.raises(ValueError, match="MAX_TEXT"), Image.open(path) as image:
        image.load()
    assert np.array_equal(np.asarray(open_image(path)), PIXELS)
    assert np.array_equal(np.asarray(open_image(io.BytesIO(png(kind)))), PIXELS)


def test_orientation_and_depth_stay(tmp_path: Path) -> None:
    turned = np.asarray(open_image(io.BytesIO(png("compressed", xmp=True))))
    assert np.array_equal(turned, np.rot90(PIXELS, -1))
    deep = np.linspace(0, 65535, 54).reshape(6, 9).astype(np.uint16)
    grey = np.asarray(open_image(io.BytesIO(png("profile", deep))))
    assert len(np.unique(grey)) == 54


def test_only_png_files_are_changed(tmp_path: Path) -> None:
    assert without_long_texts(io.BytesIO(b"\xff\xd8\xff\xe0 no PNG")) is None
    plain = png("none")
    found = without_long_texts(io.BytesIO(plain))
    assert found is not None
    assert found.getvalue() == plain
    cut = png("compressed")[:60]
    assert without_long_texts(io.BytesIO(cut)) is not None

"""Images of more than 8 bits, JPEG files without their end mark, orientation, large images, pipes and devices."""

from __future__ import annotations

import io
import os
import socket
import struct
import threading
import warnings
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bitvit.errors import ImageError
from bitvit.image_files import find_images, readable_suffixes
from bitvit.runtime.decoding import Decoding, decode, open_image
from bitvit.runtime.pixel_depth import fitting_range, range_of_bits, to_8_bit

RANDOM = np.random.default_rng(3)
TWELVE_BITS = RANDOM.integers(0, 4096, (11, 13)).astype(np.uint16)
EIGHT = ((TWELVE_BITS.astype(int) * 510 + 4095) // 8190).astype(np.uint8)
COLOURS = RANDOM.integers(0, 4096, (11, 13, 3)).astype(np.uint16)

_SIZES = {3: 2, 4: 4, 11: 4, 12: 8}
_CODES = {3: "H", 4: "I", 11: "f", 12: "d"}


def png_16(values: npt.NDArray[np.uint16], significant: int | None = None) -> bytes:
    """A PNG file of 16 bits a sample, with the chunk sBIT if `significant` is given."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if significant is not None:
        chunks.insert(1, (b"sBIT", bytes([significant] * channels)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def tiff(values: npt.NDArray[Any], tags: Sequence[tuple[int, int, list[Any]]] = (), order: str = "<") -> bytes:
    """An uncompressed TIFF file of integers of 16 bits or floats of 32, with further tags."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    is_float = values.dtype == np.float32
    data = values.astype(order + ("f4" if is_float else "u2")).tobytes()
    entries = [
        (256, 3, [values.shape[1]]), (257, 3, [values.shape[0]]), (258, 3, [32 if is_float else 16] * channels),
        (259, 3, [1]), (262, 3, [1 if channels == 1 else 2]), (273, 4, [0]), (277, 3, [channels]),
        (278, 3, [values.shape[0]]), (279, 4, [len(data)]), (339, 3, [3 if is_float else 1] * channels), *tags,
    ]  # fmt: skip
    entries.sort(key=lambda entry: entry[0])
    outside = 8 + 2 + 12 * len(entries) + 4
    start = outside + sum(size for _, kind, v in entries if (size := _SIZES[kind] * len(v)) > 4)
    directory, extra = struct.pack(order + "H", len(entries)), b""
    for tag, kind, content in entries:
        packed = struct.pack(order + _CODES[kind] * len(content), *([start] if tag == 273 else content))
        if len(packed) > 4:
            packed, extra = struct.pack(order + "I", outside + len(extra)), extra + packed
        directory += struct.pack(order + "HHI", tag, kind, len(content)) + packed.ljust(4, b"\0")
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8) + directory + struct.pack(order + "I", 0) + extra + data


def grey(data: bytes, decoding: Decoding | None = None) -> npt.NDArray[np.uint8]:
    pixels = np.asarray(open_image(io.BytesIO(data), decoding))
    assert (pixels[..., 0] == pixels[..., 2]).all()
    return pixels[..., 0]


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_that_states_its_largest_value(order: str) -> None:
    for tags in ([(281, 3, [4095])], [(280, 3, [0]), (281, 3, [4095])], [(341, 3, [4095])]):
        np.testing.assert_array_equal(grey(tiff(TWELVE_BITS, tags, order)), EIGHT)
    floats = TWELVE_BITS.astype(np.float32)
    expected = np.rint(floats.astype(float) / 4095 * 255).astype(np.uint8)
    np.testing.assert_array_equal(grey(tiff(floats, [(340, 11, [0.0]), (341, 11, [4095.0])], order)), expected)


def test_packed_samples_of_12_bits() -> None:
    even = TWELVE_BITS[:, :12]
    first, second = even[:, 0::2].astype(int), even[:, 1::2].astype(int)
    packed = np.stack([first >> 4, ((first & 15) << 4) | (second >> 8), second & 255], axis=2).astype(np.uint8)
    data = packed.tobytes()
    file = tiff(even)
    whole = file[: len(file) - even.nbytes] + data
    whole = whole.replace(struct.pack("<HHIHH", 258, 3, 1, 16, 0), struct.pack("<HHIHH", 258, 3, 1, 12, 0))
    whole = whole.replace(struct.pack("<HHII", 279, 4, 1, even.nbytes), struct.pack("<HHII", 279, 4, 1, len(data)))
    np.testing.assert_array_equal(grey(whole), EIGHT[:, :12])


def test_png_that_states_its_bits_raw_and_scaled() -> None:
    np.testing.assert_array_equal(grey(png_16(TWELVE_BITS, 12)), EIGHT)
    scaled = ((TWELVE_BITS << 4) | (TWELVE_BITS >> 8)).astype(np.uint16)  # as the standard wants it
    np.testing.assert_array_equal(grey(png_16(scaled, 12)), EIGHT)
    shifted = (TWELVE_BITS // 32 << 4).astype(np.uint16)  # dark, and scaled all the same
    assert grey(png_16(shifted, 12)).max() < 16


@pytest.mark.parametrize("write", [png_16, tiff])
def test_a_given_depth_makes_12_bits_visible(write: Any) -> None:
    plain = decode(io.BytesIO(write(TWELVE_BITS)))
    assert np.asarray(plain.image).max() < 17
    assert plain.note is not None and "nearly black" in plain.note
    assert plain.extremes == (float(TWELVE_BITS.min()), float(TWELVE_BITS.max()), True)
    with_depth = decode(io.BytesIO(write(TWELVE_BITS)), Decoding(value_range=range_of_bits(12)))
    np.testing.assert_array_equal(np.asarray(with_depth.image)[..., 1], EIGHT)
    assert with_depth.note is None


@pytest.mark.parametrize("write", [png_16, tiff, lambda values: tiff(values, order=">")])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_more_than_8_bits(write: Any, channels: int) -> None:
    values = np.dstack([COLOURS, np.full(COLOURS.shape[:2], 4095, np.uint16)])[..., :channels]
    pixels = np.asarray(open_image(io.BytesIO(write(values)), Decoding(4, range_of_bits(12))))
    expected = ((values.astype(int) * 510 + 4095) // 8190).astype(np.uint8)
    np.testing.assert_array_equal(pixels[..., :3], expected[..., :3])
    assert (pixels[..., 3] == 255).all()
    sixteen = np.asarray(open_image(io.BytesIO(write((COLOURS * 16).astype(np.uint16)))))
    np.testing.assert_array_equal(sixteen, (COLOURS.astype(int) * 16 * 510 + 65535) // 131070)


def test_grey_and_alpha_of_16_bits() -> None:
    values = np.dstack([TWELVE_BITS * 16, np.full_like(TWELVE_BITS, 65535)]).astype(np.uint16)
    assert np.abs(grey(png_16(values)).astype(int) - (TWELVE_BITS >> 4)).max() <= 1


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("opaque", [4095, 65535])
def test_transparency_says_nothing_of_the_depth(channels: int, opaque: int) -> None:
    """12 bits beside an opaque channel of 16: nearly black, and doubted as such."""
    values = np.dstack([COLOURS[..., : channels - 1], np.full(COLOURS.shape[:2], opaque, np.uint16)])
    plain = decode(io.BytesIO(png_16(values)))
    assert plain.note is not None and "nearly black" in plain.note
    assert plain.extremes == (float(values[..., :-1].min()), float(values[..., :-1].max()), True)
    pixels = np.asarray(open_image(io.BytesIO(png_16(values)), Decoding(3, range_of_bits(12))))
    expected = ((values[..., :-1].astype(int) * 510 + 4095) // 8190).astype(np.uint8)
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (*expected.shape[:2], 3)))
    values[..., -1] = 0
    assert np.asarray(open_image(io.BytesIO(png_16(values)))).min() == 255, "transparent is white"


def test_float_files_beyond_8_bits() -> None:
    values = TWELVE_BITS.astype(np.float32)
    doubted = decode(io.BytesIO(tiff(values)))
    assert doubted.note is not None and "float values" in doubted.note
    np.testing.assert_array_equal(
        grey(tiff(values), Decoding(value_range=(0, 4095))), np.rint(values.astype(float) / 4095 * 255).astype(np.uint8)
    )
    assert grey(tiff(values - 1024), Decoding(value_range=(-1024, 3071))).max() == np.rint(
        TWELVE_BITS.max() / 4095 * 255
    )


def test_arrays_follow_the_given_range() -> None:
    np.testing.assert_array_equal(np.asarray(open_image(TWELVE_BITS, Decoding(1, range_of_bits(12)))), EIGHT)
    assert decode(TWELVE_BITS).note is not None


@pytest.mark.parametrize(
    ("extremes", "expected"),
    [
        ([(0, 4012, True), (3, 900, True)], (0, 4095)),
        ([(0, 1023, True)], (0, 1023)),
        ([(0, 60000, True), (0, 12, True)], (0, 65535)),
        ([(0, 200, True)], (0, 255)),
        ([(-1024.0, 3071.0, True)], (-1024, 3071)),
        ([(0.0, 1.0, False), (0.1, 0.4, False)], (0, 1)),
        ([(0.0, 4000.5, False)], (0, 4095)),
        ([(0.0, 0.002, False), (0.0, 0.001, False)], (0, 0.002)),
        ([(0.0, 9.5, False), (0.0, 0.5, False)], (0, 9.5)),
        ([(0.0, 200.0, False)], (0, 255)),
        ([(0.0, 0.0, False)], (0, 1)),
        ([(0.0, 1e6, False)], (0, 1e6)),
        ([], None),
    ],
)
def test_one_range_for_a_set_of_images(extremes: Any, expected: Any) -> None:
    assert fitting_range(extremes) == expected


def test_mixed_scales_are_refused() -> None:
    with pytest.raises(ImageError, match=r"data\.bit_depth"):
        fitting_range([(0, 1.0, False), (0, 4000, True)])


@settings(deadline=None)
@given(st.integers(1, 65535), st.lists(st.integers(0, 70000), min_size=1))
def test_integers_become_the_nearest_of_255_steps(high: int, values: list[int]) -> None:
    found = to_8_bit(np.array(values), 0, high)
    for value, step in zip(values, found, strict=True):
        assert abs(int(step) - 255 * min(value, high) / high) <= 0.5


def jpeg(progressive: bool = False, size: int = 70) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (size, size + 3, 3), np.uint8)).save(
        stream, "JPEG", progressive=progressive, quality=90
    )
    return stream.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("tail", [b"", b"\0" * 9, b"\xff", b"\n"])
def test_jpeg_without_its_end_mark_is_read(progressive: bool, tail: bytes, tmp_path: Path) -> None:
    data = jpeg(progressive)
    whole = np.asarray(open_image(io.BytesIO(data)))
    (tmp_path / "cut.jpg").write_bytes(data[:-2] + tail)
    for source in (io.BytesIO(data[:-2] + tail), tmp_path / "cut.jpg"):
        np.testing.assert_array_equal(np.asarray(open_image(source)), whole)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("missing", [10, 100, 1000])
def test_jpeg_that_lacks_more_is_refused(progressive: bool, missing: int) -> None:
    with pytest.raises(ImageError, match="truncated"):
        open_image(io.BytesIO(jpeg(progressive)[:-missing]))


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>'
)


def _oriented(kind: str, orientation: int, pixels: Image.Image) -> bytes:
    stream = io.BytesIO()
    xmp = XMP % orientation
    if kind == "tiff tag":
        pixels.save(stream, "TIFF", tiffinfo={274: orientation})
    elif kind == "tiff tag, compressed":
        pixels.save(stream, "TIFF", compression="tiff_lzw", tiffinfo={274: orientation})
    elif kind == "tiff xmp":
        pixels.save(stream, "TIFF", tiffinfo={700: xmp})
    elif kind == "jpeg xmp":
        pixels.save(stream, "JPEG", quality=100, subsampling=0)
        segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp
        data = stream.getvalue()
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    elif kind == "png xmp":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        pixels.save(stream, "PNG", pnginfo=info)
    elif kind == "webp xmp":
        pixels.save(stream, "WEBP", lossless=True, xmp=xmp)
    else:
        exif = Image.Exif()
        exif[274] = orientation
        pixels.save(stream, "PNG", exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "kind", ["tiff tag", "tiff tag, compressed", "tiff xmp", "jpeg xmp", "png xmp", "webp xmp", "png exif"]
)
def test_orientation_however_it_is_written(kind: str, orientation: int) -> None:
    """By every version of Pillow alike; this file needs no compiled core, so it is easily run with an old one."""
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:4, :8], pixels[:4, 8:], pixels[4:, :8] = 250, 170, 90
    upright = {
        1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1], 5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1), 7: pixels.transpose(1, 0, 2)[::-1, ::-1], 8: np.rot90(pixels),
    }[orientation]  # fmt: skip
    found = np.asarray(open_image(io.BytesIO(_oriented(kind, orientation, Image.fromarray(pixels)))))
    np.testing.assert_allclose(found.astype(int), upright.astype(int), atol=3)


def test_deep_images_are_turned_as_well() -> None:
    turned = grey(tiff(TWELVE_BITS, [(274, 3, [6]), (281, 3, [4095])]))
    np.testing.assert_array_equal(turned, np.rot90(EIGHT, -1))
    turned_colours = np.asarray(open_image(io.BytesIO(tiff(COLOURS, [(274, 3, [8]), (281, 3, [4095])]))))
    np.testing.assert_array_equal(turned_colours, np.rot90((COLOURS.astype(int) * 510 + 4095) // 8190))


def test_limit_of_pixels_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.png"
    Image.new("1", (30, 20)).save(path)
    with pytest.raises(ImageError, match=r"30 x 20 is more than 599 pixels.*--max-pixels"):
        open_image(path, Decoding(max_pixels=599))
    assert open_image(path, Decoding(max_pixels=600)).size == (30, 20)
    # Beyond Pillow's own limit, which it shares with the whole process.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match="more than 50 pixels"):
        open_image(path, Decoding(max_pixels=50))
    assert open_image(path, Decoding(max_pixels=1000)).size == (30, 20)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_sockets_devices_and_folders_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path, kind in ((tmp_path / "pipe.png", "pipe"), (tmp_path, "folder"), (Path("/dev/zero"), "device")):
        with pytest.raises(ImageError, match=f"{path.name}: this is a {kind}, expected an image"):
            open_image(path)
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # a socket's address is short
        listener.bind("s.png")
        with pytest.raises(ImageError, match="this is a socket"):
            open_image(tmp_path / "s.png")


def test_channels() -> None:
    rgba = RANDOM.integers(0, 256, (6, 7, 4), np.uint8)
    assert np.array_equal(np.asarray(open_image(rgba, Decoding(4))), rgba)
    rgb = np.asarray(open_image(rgba[..., :3], Decoding(4)))
    assert np.array_equal(rgb[..., :3], rgba[..., :3]) and (rgb[..., 3] == 255).all()
    one = open_image(rgba[..., :3], Decoding(1))
    assert one.mode == "L"
    assert np.array_equal(np.asarray(one), np.asarray(Image.fromarray(rgba[..., :3]).convert("L")))
    assert np.array_equal(np.asarray(open_image(rgba[..., 0], Decoding(1))), rgba[..., 0])


def test_a_fourth_channel_does_not_shade_the_others_when_resized() -> None:
    from bitvit.program import Preprocessing
    from bitvit.runtime.preprocessing import prepare

    rgba = np.full((64, 64, 4), 200, np.uint8)
    rgba[..., 3] = 0
    small = prepare(open_image(rgba, Decoding(4)), Preprocessing((8, 8), 8))
    assert (small[..., :3] == 200).all() and (small[..., 3] == 0).all()


def test_threads_leave_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.new("RGB", (50, 50)).save(path)
    before = list(warnings.filters)
    barrier = threading.Barrier(4)

    def read(_: int) -> tuple[int, int]:
        barrier.wait(10)
        for _ in range(30):
            size = open_image(path).size
        return size

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(read, range(4))) == {(50, 50)}
    assert list(warnings.filters) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\0" * 500, "begins with null bytes"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\1" * 40, "a HEIC image, whatever its suffix"),
        (b"<html>404 Not Found</html>", "a web page, not an image"),
        (b"\n <!DOCTYPE html>\n<html>", "a web page, not an image"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        (b"%PDF-1.7 and more", "not an image in a format that can be read"),
    ],
    ids=["empty", "nulls", "heic", "html", "doctype", "lfs", "pdf"],
)
def test_files_that_are_no_images_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    if b"heic" in content and ".heic" in readable_suffixes():
        pytest.skip("HEIC can be read here")
    with pytest.raises(ImageError, match=message):
        open_image(path)
    with pytest.raises(ImageError, match=message):
        open_image(io.BytesIO(content))


def test_several_jpegs_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "stereo.mpo"
    first, second = Image.new("RGB", (8, 6), (200, 10, 10)), Image.new("RGB", (8, 6), (10, 10, 200))
    first.save(path, format="MPO", save_all=True, append_images=[second])
    assert find_images(tmp_path).paths == (path,)
    assert open_image(path).getpixel((3, 3))[0] > 150  # type: ignore[index]


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (np.full((6, 5), np.nan, np.float32), "none of its values is finite"),
        (np.full((6, 5), np.inf, np.float32), "none of its values is finite"),
        (np.linspace(-500, 1500, 30).reshape(6, 5).astype(np.int32), "values up to 1500 of 65535: nearly black"),
        (np.linspace(-500, 60000, 30).reshape(6, 5).astype(np.int32), "values from -500 to 60000"),
        (np.linspace(0, 90000, 30).reshape(6, 5).astype(np.int32), "values from 0 to 90000"),
        (np.linspace(0, 60000, 30).reshape(6, 5).astype(np.int32), None),
        (np.linspace(0, 0.01, 30).reshape(6, 5).astype(np.float32), "float values up to 0.01, read as 0 to 1: nearly"),
        (np.linspace(0, 8, 30).reshape(6, 5).astype(np.float32), "float values up to 8, read as 0 to 255: nearly"),
        (np.linspace(0, 0.3, 30).reshape(6, 5).astype(np.float32), None),
    ],
)
def test_values_that_are_lost_are_doubted(tmp_path: Path, values: np.ndarray, note: str | None) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(values).save(path)
    found = decode(path).note
    assert (found is None) if note is None else (found is not None and note in found)

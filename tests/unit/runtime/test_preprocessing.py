"""Images of every kind into the bytes that a network sees."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bitvit.errors import ImageError
from bitvit.program import Preprocessing
from bitvit.program.schema import INTERPOLATIONS
from bitvit.runtime import load_image
from bitvit.runtime.preprocessing import MAX_PIXELS, open_image

PREPROCESSING = Preprocessing((8, 8), 8, "bilinear")


def plain(height: int = 8, width: int = 8) -> Preprocessing:
    """Takes an image of that size as it is."""
    return Preprocessing((height, width), min(height, width), "nearest")


def pixels(image: Any) -> list[Any]:
    return np.asarray(open_image(image)).tolist()


def noise(*shape: int) -> Any:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


# Modes


def test_rgb_files_are_read_as_they_are(tmp_path: Path) -> None:
    array = noise(8, 8, 3)
    path = saved(Image.fromarray(array), tmp_path / "a.png")
    for source in (path, str(path), io.BytesIO(path.read_bytes()), Image.open(path), array):
        loaded = load_image(source, PREPROCESSING)
        np.testing.assert_array_equal(loaded, array)
        assert loaded.dtype == np.uint8
        assert loaded.flags.c_contiguous
        assert loaded.flags.writeable


def test_grey_is_repeated(tmp_path: Path) -> None:
    array = noise(8, 8)
    path = saved(Image.fromarray(array), tmp_path / "grey.png")
    for source in (path, array, array[..., None]):
        np.testing.assert_array_equal(load_image(source, PREPROCESSING), np.repeat(array[..., None], 3, axis=2))


def test_one_bit(tmp_path: Path) -> None:
    bits = np.eye(8, dtype=np.bool_)
    path = saved(Image.fromarray(bits), tmp_path / "bits.png")
    for source in (path, bits):
        np.testing.assert_array_equal(load_image(source, PREPROCESSING)[..., 1], bits * 255)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled(suffix: str, tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 32767, 32768, 65406, 65535]], np.uint16)
    expected = [0, 0, 1, 1, 127, 128, 254, 255]  # nearest of v / 257
    path = saved(Image.fromarray(values), tmp_path / f"deep.{suffix}")
    for source in (path, values, Image.fromarray(values.astype(np.int32))):
        assert np.asarray(open_image(source))[0, :, 0].tolist() == expected


def test_32_bit_grey_is_clipped() -> None:
    image = Image.fromarray(np.array([[-5, 70000, 65535]], np.int32))
    assert np.asarray(open_image(image))[0, :, 2].tolist() == [0, 255, 255]


def test_float_grey() -> None:
    up_to_one = np.array([[-0.5, 0.0, 0.5, 1.0, np.nan]], np.float32)
    assert np.asarray(open_image(Image.fromarray(up_to_one)))[0, :, 0].tolist() == [0, 0, 128, 255, 0]
    up_to_255 = np.array([[-1.0, 0.0, 127.4, 300.0, np.inf]], np.float32)
    assert np.asarray(open_image(up_to_255))[0, :, 0].tolist() == [0, 0, 127, 255, 0]


def test_palette(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    path = saved(image, tmp_path / "palette.png")
    assert pixels(path) == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]


def test_palette_with_transparency_lies_over_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert pixels(saved(image, tmp_path / "one.png", transparency=1)) == [[[10, 20, 30], [255, 255, 255]]]
    assert pixels(saved(image, tmp_path / "two.png", transparency=bytes([0, 255]))) == [[[255] * 3, [40, 50, 60]]]
    assert pixels(saved(image, tmp_path / "three.gif", transparency=0))[0][0] == [255] * 3


def test_alpha_lies_over_white(tmp_path: Path) -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 128]]], np.uint8)
    expected = [[[10, 20, 30], [255, 255, 255], [127, 127, 127]]]
    for source in (saved(Image.fromarray(rgba), tmp_path / "rgba.png"), rgba):
        assert pixels(source) == expected
    grey = Image.fromarray(np.array([[[10, 255], [10, 0], [0, 128]]], np.uint8), "LA")
    assert pixels(saved(grey, tmp_path / "la.png")) == [[[10] * 3, [255] * 3, [127] * 3]]
    assert pixels(Image.fromarray(rgba).convert("RGBa"))[0][:2] == expected[0][:2]
    palette = Image.new("PA", (2, 1))
    palette.putpalette([0, 0, 0, 40, 50, 60])
    palette.putpixel((0, 0), (1, 255))
    palette.putpixel((1, 0), (1, 0))
    assert pixels(palette) == [[[40, 50, 60], [255] * 3]]


def test_transparent_colour_of_rgb_and_grey(tmp_path: Path) -> None:
    rgb = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    assert pixels(saved(rgb, tmp_path / "rgb.png", transparency=(1, 2, 3))) == [[[255] * 3, [4, 5, 6]]]
    grey = Image.fromarray(np.array([[7, 8]], np.uint8))
    assert pixels(saved(grey, tmp_path / "grey.png", transparency=7)) == [[[255] * 3, [8] * 3]]
    deep = Image.fromarray(np.array([[300, 65535]], np.uint16))
    assert pixels(saved(deep, tmp_path / "deep.png", transparency=300)) == [[[255] * 3, [255] * 3]]


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "RGBX"])
def test_other_colour_spaces(mode: str) -> None:
    image = Image.new("RGB", (4, 4), (200, 100, 50)).convert(mode)
    np.testing.assert_allclose(np.asarray(open_image(image))[0, 0], [200, 100, 50], atol=3)  # 8-bit conversions round


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = saved(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(np.asarray(open_image(path))[8, 8], [255, 0, 0], atol=4)  # JPEG is lossy


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = saved(frames[0], tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert pixels(path)[0][0] == [255, 0, 0]


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, tmp_path: Path) -> None:
    upright = noise(2, 3, 3)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(Image.fromarray(np.ascontiguousarray(stored)), tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(open_image(path)), upright)


def test_senseless_exif_data_are_ignored(tmp_path: Path) -> None:
    image = Image.fromarray(noise(4, 4, 3))
    broken = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\xff\xff\xff\xff\xff\xff\xff\xff"
    path = saved(image, tmp_path / "broken.png", exif=broken)
    np.testing.assert_array_equal(np.asarray(open_image(path)), np.asarray(image))


# Sizes


def test_shorter_side_then_centre() -> None:
    # Halves of the width in two colours: the crop sees as much of one as of the other.
    array = np.zeros((32, 64, 3), np.uint8)
    array[:, 32:] = 255
    result = load_image(array, Preprocessing((8, 8), 16, "bilinear"))
    assert result.shape == (8, 8, 3)
    assert (result[:, :3] == 0).all()
    assert (result[:, 5:] == 255).all()


def test_same_as_torchvision() -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    modes = {
        "nearest": transforms.InterpolationMode.NEAREST,
        "box": transforms.InterpolationMode.BOX,
        "bilinear": transforms.InterpolationMode.BILINEAR,
        "bicubic": transforms.InterpolationMode.BICUBIC,
        "lanczos": transforms.InterpolationMode.LANCZOS,
    }
    for height, width in [(50, 61), (61, 50), (33, 97), (97, 33), (10, 11), (24, 24), (100, 399)]:
        image = Image.fromarray(noise(height, width, 3))
        for name, mode in modes.items():
            preprocessing = Preprocessing((21, 24), 27, name)  # type: ignore[arg-type]
            steps = transforms.Compose([transforms.Resize(27, mode), transforms.CenterCrop((21, 24))])
            np.testing.assert_array_equal(
                load_image(image, preprocessing), np.asarray(steps(image)), err_msg=f"{height} x {width} {name}"
            )


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (3, 1), (1, 20_000), (20_000, 1), (7, 20_000)])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_extreme_shapes(height: int, width: int, interpolation: Any) -> None:
    array = np.full((height, width, 3), 77, np.uint8)
    result = load_image(array, Preprocessing((224, 224), 256, interpolation))
    assert result.shape == (224, 224, 3)
    assert (result == 77).all()


def test_resized_part_of_a_long_image_is_its_middle() -> None:
    array = noise(4, 20_000, 3)
    preprocessing = Preprocessing((64, 64), 64, "bicubic")
    kept = 4 * 4 + 8
    middle = array[:, (20_000 - kept) // 2 :][:, :kept]
    np.testing.assert_array_equal(load_image(array, preprocessing), load_image(middle, preprocessing))


def test_too_many_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(Image.new("1", (11_000, 9_000)), tmp_path / "large.png")
    assert MAX_PIXELS < 11_000 * 9_000
    with pytest.raises(ImageError, match="11000 x 9000"):
        load_image(path, PREPROCESSING)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)  # as if the image were still larger
    with pytest.raises(ImageError, match="pixels"):
        load_image(path, PREPROCESSING)


# What is no image


def assert_one_line(caught: pytest.ExceptionInfo[ImageError], path: object) -> None:
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "tif", "webp"])
def test_truncated_images(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise(64, 64, 3)).save(path)
    content = path.read_bytes()
    for size in (len(content) // 2, len(content) // 4, 30):
        path.write_bytes(content[:size])
        with pytest.raises(ImageError) as caught:
            load_image(path, PREPROCESSING)
        assert_one_line(caught, path)


def test_text_named_png(tmp_path: Path) -> None:
    path = tmp_path / "letter.png"
    path.write_text("Dear network,\n")
    with pytest.raises(ImageError, match="not an image") as caught:
        load_image(path, PREPROCESSING)
    assert_one_line(caught, path)


def test_postscript_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "figure.eps"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(ImageError, match="EPS") as caught:
        load_image(path, PREPROCESSING)
    assert_one_line(caught, path)


def test_empty_file_missing_file_and_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    for name, reason in {"empty.jpg": "the file is empty", "absent.jpg": "no such file", ".": "folder"}.items():
        with pytest.raises(ImageError, match=reason) as caught:
            load_image(tmp_path / name, PREPROCESSING)
        assert_one_line(caught, tmp_path / name)
    with pytest.raises(ImageError):
        load_image("a\0b.png", PREPROCESSING)


def test_damaged_png(tmp_path: Path) -> None:
    path = saved(Image.fromarray(noise(32, 32, 3)), tmp_path / "a.png")
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ImageError, match="damaged") as caught:
        load_image(path, PREPROCESSING)
    assert_one_line(caught, path)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8, 2), np.uint8),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.int64),
        np.zeros((8, 8, 3), np.complex64),
        np.array(["a"]),
    ],
)
def test_arrays_that_are_no_images(array: Any) -> None:
    with pytest.raises(ImageError, match="array"):
        load_image(array, PREPROCESSING)


def test_things_that_are_no_images() -> None:
    for thing in (None, 7, object(), b"bytes"):
        with pytest.raises(ImageError):
            load_image(thing, PREPROCESSING)  # type: ignore[arg-type]


def test_given_images_are_not_changed() -> None:
    image = Image.fromarray(noise(9, 13, 4))
    before = image.tobytes()
    load_image(image, PREPROCESSING)
    assert image.tobytes() == before
    assert image.size == (13, 9)

"""From any image, in a file or in memory, to upright 8-bit pixels in grey, RGB or four channels."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from bitvit.errors import ImageError
from bitvit.image_files import refuse_special_file, register_decoders, whole_content
from bitvit.runtime import pixel_depth
from bitvit.runtime.orientation import orientation_before_loading, orientation_to_apply, turned
from bitvit.runtime.pixel_depth import PixelValues, Range
from bitvit.runtime.png_chunks import without_long_texts
from bitvit.text import printable

__all__ = ["MAX_PIXELS", "Decoded", "Decoding", "ImageSource", "decode", "open_image"]

ImageSource: TypeAlias = "str | os.PathLike[str] | IO[bytes] | Image.Image | npt.NDArray[Any]"

MAX_PIXELS = 89_478_485  # Pillow's own threshold for suspecting a decompression bomb: 256 MiB as RGB

_NEEDS_A_PROGRAM = frozenset({"EPS", "WMF"})  # Pillow would run Ghostscript, or the system's renderer, on the file
_MODES = {1: "L", 3: "RGB", 4: "RGBX"}  # RGBX: no channel is taken for transparency when the image is resized
_END_OF_JPEG = b"\xff\xd9"
_HEAD = 32  # bytes that tell what a file is
_WHITE = 65535
_DARK = 4096  # an image of 16 bits with nothing above this is black, or has 12 bits


@dataclass(frozen=True)
class Decoding:
    """How images become 8-bit pixels.

    Attributes:
        channels: 1 (grey), 3 (RGB), or 4 (RGB and the fourth channel of the file; 255 where there is none).
        value_range: the values of black and white in images deeper than 8 bits whose files do not state them; None: 0
            and 65535 for integers, and for floats 0 and 1 if nothing exceeds 1, else 0 and 255.
        max_pixels: larger images are refused.
    """

    channels: int = 3
    value_range: Range | None = None
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Decoded:
    """A decoded image.

    Attributes:
        image: upright; mode L, RGB or RGBX.
        extremes: smallest and largest value of an image deeper than 8 bits whose file does not state its range, and
            whether they are integers; None for all others.
        note: what looks wrong about it, in one line.
    """

    image: Image.Image
    extremes: tuple[float, float, bool] | None = None
    note: str | None = None


def open_image(source: ImageSource, decoding: Decoding | None = None) -> Image.Image:
    """Return any image upright, with 8-bit pixels, at its own size.

    Orientation is that of EXIF or XMP. Transparency is laid over white, except with four channels, where it is the
    fourth. Values of more than 8 bits are brought to 8 by `Decoding.value_range` or what their file says. A JPEG file
    that lacks nothing but its end mark is read.

    Args:
        source: path, binary stream, Pillow image, or array of bool, uint8, uint16 or float with shape `[H,W]`,
            `[H,W,1]`, `[H,W,3]` or `[H,W,4]`.
        decoding: by default RGB.

    Raises:
        ImageError: the image cannot be read or is too large; the message names it.
    """
    return decode(source, decoding).image


def decode(source: ImageSource, decoding: Decoding | None = None, *, reduced: bool = False) -> Decoded:
    """Return any image as `open_image` does, and a note on its values if there is one.

    Args:
        source: as `open_image` takes it.
        decoding: as `open_image` takes it.
        reduced: a smaller image will do, to see whether a file can be read.

    Raises:
        ImageError: the image cannot be read or is too large; the message names it.
    """
    name = _name(source)
    decoding = decoding if decoding is not None else Decoding()
    try:
        if isinstance(source, np.ndarray):
            return _from_array(source, decoding)
        if isinstance(source, Image.Image):
            _check_pixels(source.size, decoding.max_pixels)
            return _finish(source, None, decoding)
        with _quiet_pillow():
            try:
                return _from_file(source, decoding, reduced)
            except ValueError as error:
                plain = without_long_texts(source) if "MAX_TEXT" in str(error) else None
                if plain is None:
                    raise
                return _from_file(plain, decoding, reduced)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except MemoryError:
        raise ImageError(f"{name}: not enough memory to decode this image") from None
    except Exception as error:
        # Decoders meet damaged data with errors of all kinds (OSError, SyntaxError, struct.error, zlib.error, ...).
        raise ImageError(f"{name}: the image cannot be decoded, it is damaged: {_one_line(error)}") from None


def _from_file(source: str | os.PathLike[str] | IO[bytes], decoding: Decoding, reduced: bool) -> Decoded:
    with _open(source, decoding.max_pixels) as image:
        if image.format in _NEEDS_A_PROGRAM:
            raise ImageError(f"{image.format} is a vector format; convert the file to PNG first")
        _check_pixels(image.size, decoding.max_pixels)
        pixel_depth.note_significant_bits(image)
        applied = orientation_before_loading(image)
        if reduced:
            image.draft(None, (1, 1))
        planes = _deep_colours(image)
        if planes is not None:
            return _from_values(
                PixelValues(planes, pixel_depth.declared_range(image, planes)), image, applied, decoding
            )
        try:
            image.load()
        except OSError:
            if image.format not in ("JPEG", "MPO"):
                raise
            whole = _without_end_mark(source, decoding.max_pixels)
            if whole is None:
                raise
            return _finish(whole, applied, decoding)
        return _finish(image, applied, decoding)


def _open(source: str | os.PathLike[str] | IO[bytes], max_pixels: int) -> Image.Image:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        _refuse_special(path)
        source = path
    register_decoders()
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels  # Pillow has one limit for the whole process
    try:
        return Image.open(source)
    except UnidentifiedImageError:
        raise ImageError(_why_unknown(source)) from None
    except Image.DecompressionBombError:
        raise ImageError(_too_large(f"more than {max_pixels} pixels")) from None
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or _one_line(error)}") from None


def _why_unknown(source: str | os.PathLike[str] | IO[bytes]) -> str:
    """Say what a file is that Pillow does not know, as far as its first bytes tell."""
    head = b"?"
    if isinstance(source, str | os.PathLike):
        with suppress(OSError), open(source, "rb") as file:
            head = file.read(_HEAD)
    else:
        with suppress(OSError, ValueError):
            source.seek(0)
            head = source.read(_HEAD)
    if not head:
        return "the file is empty"
    if not head.strip(b"\0"):
        return "not an image: it begins with null bytes, as after an incomplete copy"
    if head[4:8] == b"ftyp":
        kind = head[8:12].lower()
        if kind in (b"heic", b"heix", b"heif", b"mif1", b"msf1", b"hevc"):
            return "a HEIC image, whatever its suffix: pip install pillow-heif, or convert it"
        return "not an image in a format that can be read (AVIF, or a video)"
    if head.startswith(b"version https://git-lfs"):
        return "not the image, but what Git LFS leaves in its place: fetch the images with `git lfs pull`"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page, not an image: its download has failed"
    return "not an image in a format that can be read"


def _refuse_special(path: Path) -> None:
    try:
        refuse_special_file(path, ImageError)
    except ImageError as error:
        # The caller names the path; here it is only said what it is.
        raise ImageError(str(error).removeprefix(f"{path}: ").replace("expected a file", "expected an image")) from None


def _without_end_mark(source: str | os.PathLike[str] | IO[bytes], max_pixels: int) -> Image.Image | None:
    """Return a JPEG image that lacks its end mark and nothing else.

    With the end mark appended the decoder fills what is missing with grey. It is missing if further bits before the
    end mark change the image: in a complete image the decoder skips them.
    """
    data = whole_content(source)
    if data is None:
        return None
    data = data.rstrip(b"\xff")  # half an end mark
    images = []
    for filling in (b"", b"\x55" * 64, b"\xaa" * 64):
        with _open(io.BytesIO(data + filling + _END_OF_JPEG), max_pixels) as image:
            image.load()
            images.append(image.copy())
            images[-1].format = image.format
            images[-1].info = image.info
    pixels = [image.tobytes() for image in images]
    return images[0] if pixels[0] == pixels[1] == pixels[2] else None


def _deep_colours(image: Image.Image) -> npt.NDArray[np.uint16] | None:
    """Return the colours of an image with 16 bits per channel, `[H,W,C]`; Pillow itself would drop the lower 8."""
    if not isinstance(image, ImageFile) or image.format not in ("PNG", "TIFF"):
        return None
    if not pixel_depth.deep_planes(image):
        return pixel_depth.grey_and_alpha(image)
    tiles = list(image.tile)
    stream = getattr(image, "fp", None)
    if stream is None or not stream.seekable():
        return None
    start = stream.tell()
    with Image.open(_rewound(stream)) as twin:
        assert isinstance(twin, ImageFile)
        pixel_depth.with_byte(twin, low=True)
        twin.load()  # may turn the image; its shape is asked for after that
        low = np.asarray(twin).astype(np.uint16)
    stream.seek(start)
    image.tile = tiles
    pixel_depth.with_byte(image, low=False)
    image.load()
    high = np.asarray(image).astype(np.uint16)
    if high.shape != low.shape:
        return None
    values: npt.NDArray[np.uint16] = (high << np.uint16(8)) | low
    return values


def _rewound(stream: Any) -> IO[bytes]:
    stream.seek(0)
    return io.BytesIO(stream.read())


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise ImageError(_too_large(f"{width} x {height} is more than {max_pixels} pixels"))
    if not width or not height:
        raise ImageError("the image has no pixels")


def _too_large(what: str) -> str:
    return f"{what}; make it smaller, or raise the limit (data.max_pixels, --max-pixels)"


def _finish(image: Image.Image, applied: int | None, decoding: Decoding) -> Decoded:
    """Bring a loaded image upright and to 8 bits in the channels asked for."""
    if pixel_depth.is_deep(image):
        values = np.asarray(image)
        if image.mode != "F":
            # Also Pillow's 32-bit mode, in which older versions read 16 bits.
            values = values.astype(np.int64)
        return _from_values(PixelValues(values, pixel_depth.declared_range(image, values)), image, applied, decoding)
    prepared = turned(image, orientation_to_apply(image, applied))
    return Decoded(_to_channels(prepared, decoding.channels))


def _from_values(pixels: PixelValues, image: Image.Image, applied: int | None, decoding: Decoding) -> Decoded:
    values = pixels.values
    low, high = pixels.declared or decoding.value_range or pixel_depth.default_range(values)
    eight_bits = pixel_depth.to_8_bit(values, low, high)
    transparency = image.info.get("transparency")
    if values.ndim == 2 and isinstance(transparency, int):
        visible = (values != transparency).astype(np.uint8) * np.uint8(255)
        eight_bits = np.dstack([eight_bits, eight_bits, eight_bits, visible])
    elif values.ndim == 3 and values.shape[2] == 3 and isinstance(transparency, tuple):
        visible = (values != np.array(transparency)).any(axis=2).astype(np.uint8) * np.uint8(255)
        eight_bits = np.dstack([eight_bits, visible])
    prepared = turned(Image.fromarray(np.ascontiguousarray(eight_bits)), orientation_to_apply(image, applied))
    extremes = note = None
    if pixels.declared is None:
        has_alpha = values.ndim == 3 and values.shape[2] in (2, 4) and decoding.channels != 4
        extremes = _extremes(values[..., :-1] if has_alpha else values)
        if extremes is None:
            note = "none of its values is finite: read as black"
        elif decoding.value_range is None:
            note = _doubt(extremes)
    return Decoded(_to_channels(prepared, decoding.channels), extremes, note)


def _extremes(values: npt.NDArray[Any]) -> tuple[float, float, bool] | None:
    if np.issubdtype(values.dtype, np.integer):
        return float(values.min()), float(values.max()), True
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max()), False) if finite.size else None


def _doubt(extremes: tuple[float, float, bool]) -> str | None:
    low, high, integers = extremes
    if integers and 0 < high < _DARK:
        return f"values up to {high:.0f} of 65535: nearly black, unless its bit depth is less than 16; give the depth"
    if integers and (low < 0 or high > _WHITE):
        return f"values from {low:.0f} to {high:.0f}, read as 0 to 65535: what is beyond is black or white"
    if not integers and (low < 0 or high > 255):
        return f"float values from {low:g} to {high:g}, read as 0 to 255; give the range"
    if not integers and pixel_depth.is_dark(high):
        return f"float values up to {high:g}, read as 0 to {1 if high <= 1 else 255}: nearly black"
    return None


def _to_channels(image: Image.Image, channels: int) -> Image.Image:
    if channels == 4:
        return _four_channels(image)
    has_alpha = "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA")
    if has_alpha:
        image = _over_white(_to_rgba(image))
    return image.convert(_MODES[channels])


def _to_rgba(image: Image.Image) -> Image.Image:
    # Premultiplied La and palettes with alpha know no direct way to RGBA.
    steps = {"La": "LA", "RGBa": "RGBA"}
    return image.convert(steps.get(image.mode, "RGBA")).convert("RGBA")


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _four_channels(image: Image.Image) -> Image.Image:
    if image.mode == "RGBX":
        return image
    pixels = np.asarray(_to_rgba(image))
    return Image.frombytes("RGBX", image.size, np.ascontiguousarray(pixels).tobytes())


def _from_array(array: npt.NDArray[Any], decoding: Decoding) -> Decoded:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size:
        raise ImageError(
            f"an array of shape {list(array.shape)} is not an image; expected [H, W], [H, W, 3] or [H, W, 4]"
        )
    _check_pixels((array.shape[1], array.shape[0]), decoding.max_pixels)
    if array.ndim == 3 and channels == 1:
        array = array[..., 0]
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype == np.uint16 or np.issubdtype(array.dtype, np.floating):
        values = array.astype(np.int64) if array.dtype == np.uint16 else array
        return _from_values(PixelValues(values, None), Image.new("L", (1, 1)), None, decoding)
    elif array.dtype != np.uint8:
        raise ImageError(f"an array of {array.dtype} is not an image; expected bool, uint8, uint16 or float")
    return Decoded(_to_channels(Image.fromarray(np.ascontiguousarray(array)), decoding.channels))


def _name(source: ImageSource) -> str:
    if isinstance(source, str | os.PathLike):
        return printable(os.fspath(source), None)
    if isinstance(source, np.ndarray):
        return "array"
    return printable(getattr(source, "filename", None) or getattr(source, "name", None) or "image", None)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


_quiet_lock = threading.Lock()
_quiet_depth = 0
_filters_before: Any = None


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings: they are an error here (very many pixels) or of no consequence (senseless EXIF).

    Python's filters belong to the whole process. So the first of several threads changes them and the last one puts
    them back.
    """
    global _quiet_depth, _filters_before
    with _quiet_lock:
        _quiet_depth += 1
        if _quiet_depth == 1:
            _filters_before = warnings.catch_warnings()
            _filters_before.__enter__()
            warnings.simplefilter("ignore")
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                _filters_before.__exit__(None, None, None)
                _filters_before = None

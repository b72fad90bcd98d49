"""From any image to the bytes that a network sees, in training evaluation and in prediction alike."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from bitvit.errors import ImageError
from bitvit.program.schema import Interpolation, Preprocessing

__all__ = ["MAX_PIXELS", "ImageSource", "load_image", "open_rgb", "prepare"]

ImageSource: TypeAlias = "str | os.PathLike[str] | IO[bytes] | Image.Image | npt.NDArray[Any]"

MAX_PIXELS = 89_478_485  # Pillow's own threshold for suspecting a decompression bomb: 256 MiB as RGB
_MAX_ASPECT = 4  # beyond this the ends of the long side cannot reach the centre crop, and are cut off before resizing

_FILTERS: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_NEEDS_A_PROGRAM = frozenset({"EPS", "WMF"})  # Pillow would run Ghostscript, or the system's renderer, on the file
_ORIENTATION_TAG = 0x0112
_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_image(source: ImageSource, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Read an image and bring it into the size of the network's input.

    Orientation by EXIF, RGB over white, shorter side to ``resize_size``, centre crop to ``image_size``.

    Args:
        source: path, binary stream, Pillow image, or array of bool, uint8, uint16 or float with shape [H, W],
            [H, W, 1], [H, W, 3] or [H, W, 4].
        preprocessing: sizes and interpolation.

    Returns:
        uint8 [H, W, 3].

    Raises:
        ImageError: the image cannot be read or is too large; the message names it.
    """
    return prepare(open_rgb(source), preprocessing)


def open_rgb(source: ImageSource) -> Image.Image:
    """Any image as upright RGB of its own size.

    Transparency is laid over white. 16-bit grey is scaled to 8 bit (also in Pillow's 32-bit mode, clipped to 16 bit);
    float grey counts from 0 to 1 if nothing in it exceeds 1, else from 0 to 255.

    Raises:
        ImageError: the image cannot be read or is too large; the message names it.
    """
    name = _name(source)
    try:
        if isinstance(source, np.ndarray):
            return _to_rgb(_from_array(source))
        if isinstance(source, Image.Image):
            _check_pixels(source)
            return _to_rgb(_upright(source))
        with warnings.catch_warnings(), _open(source) as image:
            if image.format in _NEEDS_A_PROGRAM:
                raise ImageError(f"{image.format} is no pixel format; convert it to PNG first")
            _check_pixels(image)
            image.load()
            return _to_rgb(_upright(image))
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except MemoryError:
        raise ImageError(f"{name}: not enough memory to decode this image") from None
    except Exception as error:
        # Decoders meet damaged data with errors of all kinds (OSError, SyntaxError, struct.error, zlib.error, ...).
        raise ImageError(f"{name}: the image cannot be decoded, it is damaged: {_one_line(error)}") from None


def prepare(image: Image.Image, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Resize the shorter side, then crop the centre. RGB image -> uint8 [H, W, 3].

    Sizes are rounded as in torchvision's Resize and CenterCrop. Of an image more than four times as long as wide only
    the middle is resized, so that one row of pixels does not become gigabytes.
    """
    image = _without_far_ends(image)
    width, height = image.size
    short, long = min(width, height), max(width, height)
    new_long = int(preprocessing.resize_size * long / short)
    new_size = (preprocessing.resize_size, new_long) if width <= height else (new_long, preprocessing.resize_size)
    if new_size != image.size:
        image = image.resize(new_size, _FILTERS[preprocessing.interpolation])
    crop_height, crop_width = preprocessing.image_size
    left = round((image.width - crop_width) / 2)
    top = round((image.height - crop_height) / 2)
    return np.array(image.crop((left, top, left + crop_width, top + crop_height)), dtype=np.uint8)


def _without_far_ends(image: Image.Image) -> Image.Image:
    width, height = image.size
    short, long = min(width, height), max(width, height)
    # The crop needs `short` pixels of the long side, and the filters a few more at each end.
    excess = (long - (_MAX_ASPECT * short + 8)) // 2
    if excess <= 0:
        return image
    box = (excess, 0, width - excess, height) if width > height else (0, excess, width, height - excess)
    return image.crop(box)


def _open(source: str | os.PathLike[str] | IO[bytes]) -> Image.Image:
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            raise ImageError("this is a folder, expected an image")
        source = path
    # What Pillow warns about is either an error here (very many pixels) or of no consequence (senseless EXIF data).
    warnings.simplefilter("ignore")
    try:
        return Image.open(source)
    except UnidentifiedImageError:
        raise ImageError("not an image in a format that can be read") from None
    except Image.DecompressionBombError:
        raise ImageError(f"more than {MAX_PIXELS} pixels; make it smaller first") from None
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or _one_line(error)}") from None


def _check_pixels(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{image.width} x {image.height} is more than {MAX_PIXELS} pixels; make it smaller first")
    if not image.width or not image.height:
        raise ImageError("the image has no pixels")


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:
        return image  # damaged EXIF data say nothing about the orientation, and nothing against the pixels
    method = _ORIENTATIONS.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        grey8 = Image.fromarray(_from_16_bit(grey))
        if isinstance(image.info.get("transparency"), int):
            visible = Image.fromarray((grey != image.info["transparency"]).astype(np.uint8) * np.uint8(255))
            return _over_white(Image.merge("RGBA", (grey8, grey8, grey8, visible)))
        return grey8.convert("RGB")
    if image.mode == "F":
        return Image.fromarray(_from_float(np.asarray(image))).convert("RGB")
    if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA"):
        # Premultiplied La and palettes with alpha know no direct way to RGBA.
        steps = {"La": "LA", "RGBa": "RGBA"}
        return _over_white(image.convert(steps.get(image.mode, "RGBA")).convert("RGBA"))
    return image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _from_array(array: npt.NDArray[Any]) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size:
        raise ImageError(f"an array of shape {list(array.shape)} is no image; expected [H, W], [H, W, 3] or [H, W, 4]")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise ImageError(f"{array.shape[1]} x {array.shape[0]} is more than {MAX_PIXELS} pixels; make it smaller first")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype == np.uint16:
        array = _from_16_bit(array.astype(np.int64))
    elif np.issubdtype(array.dtype, np.floating):
        array = _from_float(array)
    elif array.dtype != np.uint8:
        raise ImageError(f"an array of {array.dtype} is no image; expected bool, uint8, uint16 or float")
    return Image.fromarray(np.ascontiguousarray(array[..., 0] if array.ndim == 3 and channels == 1 else array))


def _from_16_bit(grey: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """0..65535 to 0..255, rounded to the nearest."""
    return ((grey * 255 + 32767) // 65535).astype(np.uint8)


def _from_float(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    scaled = finite * 255 if finite.max() <= 1 else finite
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _name(source: ImageSource) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if isinstance(source, np.ndarray):
        return "array"
    return str(getattr(source, "filename", None) or getattr(source, "name", None) or "image")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

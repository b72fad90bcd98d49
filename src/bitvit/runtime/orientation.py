"""Which way up an image is, whatever the version of Pillow makes of it."""

from __future__ import annotations

import re
from typing import Any

from PIL import Image

__all__ = ["orientation_before_loading", "orientation_to_apply", "turned"]

_TAG = 0x0112
_XMP_TAG = 700
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])")
_XMP_MARK = b"http://ns.adobe.com/xap/1.0/\0"

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_before_loading(image: Image.Image) -> int | None:
    """Return the orientation that Pillow itself applies when it loads the pixels of this image, if it does.

    For TIFF files every version of Pillow from 9.4 on does so, for the orientation that it knows of before loading: the
    tag, and from 11 on XMP as well. Some versions go on naming the tag afterwards.
    """
    return _exif_orientation(image) if image.format == "TIFF" else None


def orientation_to_apply(image: Image.Image, applied: int | None = None) -> int | None:
    """Return the orientation of a loaded image: that of EXIF, or of XMP if EXIF has none.

    Args:
        image: with its pixels loaded.
        applied: the orientation that has been applied already (`orientation_before_loading`).
    """
    if applied is not None:
        return None
    orientation = _exif_orientation(image)
    return orientation if orientation is not None else _xmp_orientation(image)


def turned(image: Image.Image, orientation: int | None) -> Image.Image:
    """Return an image turned from an orientation of EXIF (1 to 8; others are ignored) to upright."""
    method = _TRANSPOSITIONS.get(orientation) if orientation is not None else None
    return image if method is None else image.transpose(method)


def _exif_orientation(image: Image.Image) -> int | None:
    try:
        orientation = image.getexif().get(_TAG)
    except Exception:
        return None  # damaged EXIF data say nothing about the orientation, and nothing against the pixels
    return orientation if isinstance(orientation, int) else None


def _xmp_orientation(image: Image.Image) -> int | None:
    for packet in _xmp_packets(image):
        text = packet.encode("utf-8", "replace") if isinstance(packet, str) else packet
        if isinstance(text, bytes):
            match = _XMP_ORIENTATION.search(text)
            if match is not None:
                return int(match[1])
    return None


def _xmp_packets(image: Image.Image) -> list[Any]:
    """Return the image's XMP, wherever this version of Pillow and this format keep it."""
    packets = [image.info.get("xmp"), image.info.get("XML:com.adobe.xmp")]
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        packets.append(tags.get(_XMP_TAG))
    for name, content in getattr(image, "applist", ()):
        if name == "APP1" and content.startswith(_XMP_MARK):
            packets.append(content)
    return packets

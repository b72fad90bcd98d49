"""PNG files whose texts are too long for Pillow: the pixels are read all the same."""

from __future__ import annotations

import io
import os
import struct
from typing import IO

from bitvit.image_files import whole_content

__all__ = ["without_long_texts"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_XMP = b"XML:com.adobe.xmp\0\0"  # not compressed; it may say the orientation
_LONGEST = 1 << 16


def without_long_texts(source: str | os.PathLike[str] | IO[bytes]) -> io.BytesIO | None:
    """Return a PNG file without its texts and colour profile, as far as they are compressed or long.

    Image generators write whole workflows there, and Pillow refuses texts of more than a megabyte, which a small file
    can claim to hold. Nothing of them changes how an image is read here, but the orientation in a short XMP text, which
    is kept.

    Args:
        source: path or binary stream.

    Returns:
        The file, or None if it is no PNG, or is a stream that cannot be read again.
    """
    data = whole_content(source)
    if data is None or not data.startswith(_SIGNATURE):
        return None
    kept = [_SIGNATURE]
    at = len(_SIGNATURE)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunk = data[at : at + 12 + length]
        is_short = length <= _LONGEST and (chunk[4:8] == b"tEXt" or chunk[8:].startswith(_XMP))
        if chunk[4:8] not in _TEXTS or is_short:
            kept.append(chunk)
        at += 12 + length
    return io.BytesIO(b"".join(kept))

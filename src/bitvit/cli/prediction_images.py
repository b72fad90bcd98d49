"""The images that `bitvit predict` is asked for: files, folders, and what comes on standard input."""

from __future__ import annotations

import glob
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeAlias

from bitvit.cli.output import print_error, print_note
from bitvit.errors import BitvitError, ImageError
from bitvit.image_files import find_images
from bitvit.text import printable

__all__ = ["STANDARD_INPUT", "ImageOnInput", "ImagesToPredict", "PredictedImage"]

STANDARD_INPUT = "-"
_CHUNK = 1 << 16
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class ImageOnInput(io.BytesIO):
    """An image that was read from standard input."""

    name = STANDARD_INPUT

    def __str__(self) -> str:
        return STANDARD_INPUT


PredictedImage: TypeAlias = "Path | ImageOnInput"


class ImagesToPredict:
    """All images asked for, in order. A folder without images, or one that is not there, does not keep others back.

    Attributes:
        total: how many there are; None while paths come on standard input.
        failed: how many of the arguments were of no use.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.failed = 0
        self._streams = STANDARD_INPUT in arguments
        # Folders are searched now, so that the number of images is known; a list on standard input may be endless.
        self._parts: list[list[Path] | None] = [
            None if argument == STANDARD_INPUT else self._named(argument) for argument in arguments
        ]

    @property
    def total(self) -> int | None:
        """How many images there are; None where that is not known."""
        return None if self._streams else sum(len(part) for part in self._parts if part is not None)

    @property
    def known(self) -> Iterator[Path]:
        """The images that are known before the first is read: all but those of a list on standard input."""
        return (path for part in self._parts if part is not None for path in part)

    def __iter__(self) -> Iterator[PredictedImage]:
        for part in self._parts:
            if part is None:
                yield from self._standard_input()
            else:
                yield from part

    def _named(self, argument: str) -> list[Path]:
        """Return the images that an argument names: a file, a folder, or a pattern that the shell left as it was."""
        if not os.path.lexists(argument):
            if glob.has_magic(argument):  # as Windows' shells do with all patterns
                found = sorted(glob.glob(argument, recursive=True))
                if found:
                    return [image for path in found for image in self._expand(Path(path))]
            if _ADDRESS.match(argument):
                print_error(f"{printable(argument, None)}: an address, and nothing is downloaded: name a file")
                self.failed += 1
                return []
        return self._expand(Path(argument))

    def _expand(self, path: Path) -> list[Path]:
        """Return a file, or the images in a folder and below, in the order of their paths."""
        if not path.is_dir():
            return [path]
        try:
            found = find_images(path)
            reasons = f" ({found.left_out})" if found.left_out.reasons() else ""
            if not found.paths:
                raise ImageError(f"{printable(path, None)}: no images in this folder{reasons}")
        except BitvitError as error:
            print_error(str(error))
            self.failed += 1
            return []
        if reasons:
            print_note(f"note: {printable(path, None)}: left out {found.left_out}")
        return list(found.paths)

    def _standard_input(self) -> Iterator[PredictedImage]:
        stream = sys.stdin.buffer
        head = stream.read1(_CHUNK) if hasattr(stream, "read1") else stream.read(_CHUNK)
        if not head:
            print_error("standard input is empty: expected an image, or a list of paths")
            self.failed += 1
        elif _begins_with_a_path(head) or not _is_image(head):
            lines = 0
            for line in _lines(head, stream):
                lines += 1
                yield from self._expand(Path(os.fsdecode(line)))
            if not lines:
                print_error("standard input has no paths: expected an image, or a list of paths")
                self.failed += 1
        else:
            yield ImageOnInput(head + stream.read())


def _begins_with_a_path(head: bytes) -> bool:
    first = head.removeprefix(b"\xef\xbb\xbf").split(b"\0" if b"\0" in head else b"\n", 1)[0].rstrip(b"\r")
    try:
        return bool(first) and os.path.lexists(first)
    except ValueError:
        return False


def _is_image(head: bytes) -> bool:
    """Return whether Pillow recognizes the first bytes, or they are clearly not text."""
    from PIL import Image

    from bitvit.image_files import readable_suffixes

    readable_suffixes()  # initializes Pillow
    for _, accept in Image.OPEN.values():
        with suppress(Exception):  # Pillow's tests take it for granted that there are some bytes
            if accept is not None and accept(head[:16]) is True:
                return True
    text = head.rstrip(b"\0").replace(b"\0", b"\n")
    return any(byte < 32 and byte not in b"\t\n\r" for byte in text[:256])


def _lines(head: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a list (`find`), or its parts between null bytes (`find -print0`), as they come."""
    separator = b"\0" if b"\0" in head else b"\n"
    rest = head.removeprefix(b"\xef\xbb\xbf")  # the mark that editors on Windows put before UTF-8
    while True:
        *lines, rest = rest.split(separator)
        for line in lines:
            stripped = line.rstrip(b"\r") if separator == b"\n" else line
            if stripped:
                yield stripped
        chunk = stream.read1(_CHUNK) if hasattr(stream, "read1") else stream.read(_CHUNK)
        if not chunk:
            break
        rest += chunk
    if rest.strip(b"\r\n\0"):
        yield rest.strip(b"\r\n\0")

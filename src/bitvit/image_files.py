"""Which files are images: one list of suffixes, one way to search a folder, for training and prediction alike."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from PIL import Image

from bitvit.errors import BitvitError
from bitvit.text import printable

__all__ = [
    "FoundImages",
    "LeftOut",
    "find_images",
    "is_hidden",
    "readable_suffixes",
    "refuse_special_file",
    "register_decoders",
    "subfolders",
    "whole_content",
]

# Formats that Pillow lists and that are not pictures to learn from: stubs without a decoder, documents, films, and
# those for which Pillow would run another program (Ghostscript, the system's renderer) on the file.
_NOT_PICTURES = frozenset({"BUFR", "EPS", "FITS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"})

# Several JPEG images in one file (cameras' stereo and high-dynamic-range pictures); Pillow reads the first as JPEG.
_JPEG_BY_OTHER_NAMES = {".mpo", ".jps"}

# Decoders that are used if they are installed. Module -> the function that registers it, if importing is not enough.
_PLUGINS = {"pillow_heif": "register_heif_opener", "pillow_avif": None, "pillow_jxl": None}

_OTHER_PICTURES = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "pip install pillow-heif"),
    ".avif": "pip install a Pillow with AVIF",
    ".jxl": "pip install pillow-jxl-plugin",
    **dict.fromkeys((".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"), "pip install a Pillow with JPEG 2000"),
    **dict.fromkeys((".webp",), "pip install a Pillow with WebP"),
    **dict.fromkeys(
        (".svg", ".eps", ".ps", ".pdf", ".wmf", ".emf", ".fits", ".dcm", ".exr", ".hdr", ".npy",
         ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".raw", ".rw2"),
        "convert them to PNG",
    ),
}  # fmt: skip
"""Pictures that this machine may not read, and what to do then: they are counted by name, not passed over."""

# What systems leave in folders. Names that begin with a dot are hidden anyway.
_CLUTTER = frozenset(
    {
        "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "#recycle", "$recycle.bin",
        "system volume information", "lost+found", "__pycache__",
    }
)  # fmt: skip


@functools.cache
def register_decoders() -> None:
    """Make Pillow know the decoders that are installed beside it. Its own it finds itself, when it opens an image."""
    for module, register in _PLUGINS.items():
        with contextlib.suppress(Exception):  # a plugin that does not fit this Pillow is as good as none
            plugin = importlib.import_module(module)
            if register is not None:
                getattr(plugin, register)()


@functools.cache
def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of the images that Pillow can read here, with its optional decoders, in lower case.

    This imports all of Pillow's decoders, which takes as long as many a prediction: to open one file,
    `register_decoders` is enough.
    """
    register_decoders()
    Image.init()
    from PIL import features

    # Pillow lists WebP, AVIF and JPEG 2000 even where it was built without their libraries.
    missing = {name for name, library in (("WEBP", "webp"), ("JPEG2000", "jpg_2000")) if not features.check(library)}
    if "AVIF" in Image.OPEN and "pillow_avif" not in getattr(Image.OPEN["AVIF"][0], "__module__", ""):
        with contextlib.suppress(ValueError):
            missing |= set() if features.check("avif") else {"AVIF"}
    suffixes = {
        suffix.lower()
        for suffix, name in Image.registered_extensions().items()
        if name in Image.OPEN and name not in _NOT_PICTURES and name not in missing
    }
    return frozenset(suffixes | _JPEG_BY_OTHER_NAMES)


def is_hidden(name: str, status: os.stat_result | None = None) -> bool:
    """Return whether a file or folder is hidden: `._x.png`, `.ipynb_checkpoints`, `__MACOSX`."""
    attributes = getattr(status, "st_file_attributes", 0) if status is not None else 0
    return (
        name.startswith(".") or name.lower() in _CLUTTER or bool(attributes & getattr(stat, "FILE_ATTRIBUTE_HIDDEN", 2))
    )


@dataclass
class LeftOut:
    """What a search passed over, counted by the reason."""

    hidden: int = 0
    unreadable_suffixes: Counter[str] = field(default_factory=Counter)
    other_suffixes: Counter[str] = field(default_factory=Counter)
    special: int = 0
    broken_links: int = 0
    closed_folders: int = 0
    repeated_folders: int = 0

    def add(self, other: LeftOut) -> None:
        """Count what another search passed over as well."""
        self.hidden += other.hidden
        self.unreadable_suffixes += other.unreadable_suffixes
        self.other_suffixes += other.other_suffixes
        self.special += other.special
        self.broken_links += other.broken_links
        self.closed_folders += other.closed_folders
        self.repeated_folders += other.repeated_folders

    def reasons(self) -> list[str]:
        """Return one phrase for each reason, such as `3 .heic (pip install pillow-heif)`."""
        reasons = [
            f"{count} {suffix} ({_OTHER_PICTURES[suffix]})"
            for suffix, count in sorted(self.unreadable_suffixes.items())
        ]
        if self.other_suffixes:
            kinds = [
                printable(suffix, 20) if suffix else "no suffix" for suffix, _ in self.other_suffixes.most_common(4)
            ]
            more = ", ..." if len(self.other_suffixes) > 4 else ""
            reasons.append(f"{sum(self.other_suffixes.values())} that are not images ({', '.join(kinds)}{more})")
        for count, what in (
            (self.hidden, "hidden"),
            (self.special, "that are pipes, sockets or devices"),
            (self.broken_links, "broken links"),
            (self.closed_folders, "folders that may not be read"),
            (self.repeated_folders, "links to a folder that was searched already"),
        ):
            if count:
                reasons.append(f"{count} {what}")
        return reasons

    def __str__(self) -> str:
        return "; ".join(self.reasons())


@dataclass(frozen=True)
class FoundImages:
    """The images of a folder and below it, in the order of their paths, and what was passed over."""

    paths: tuple[Path, ...]
    left_out: LeftOut


def find_images(folder: Path) -> FoundImages:
    """Return all images in `folder` and below.

    Linked folders are followed. A folder that can be reached in several ways is searched once, under its own name if it
    lies below `folder`, and those around `folder` are not, so links cannot lead in circles or to other classes' images.

    Raises:
        BitvitError: `folder` itself cannot be read.
    """
    suffixes = readable_suffixes()
    paths: list[Path] = []
    left_out = LeftOut()
    linked: list[Path] = []
    seen = _folders_around(folder)

    def search(place: Path) -> None:
        waiting = [place]
        while waiting:
            current = waiting.pop()
            try:
                status = current.stat()
                identity = (status.st_dev, status.st_ino)
                if identity in seen:
                    left_out.repeated_folders += 1
                    continue
                seen.add(identity)
                entries = sorted(os.scandir(current), key=lambda entry: entry.name)
            except OSError as error:
                if current == folder:
                    raise BitvitError(f"{folder}: cannot be read ({error.strerror})") from None
                left_out.closed_folders += 1
                continue
            for entry in entries:
                kind = _kind(entry)
                if kind == "hidden":
                    left_out.hidden += 1
                elif kind == "folder":
                    (linked if entry.is_symlink() else waiting).append(Path(entry.path))
                elif kind == "broken":
                    left_out.broken_links += 1
                elif kind == "special":
                    left_out.special += 1
                else:
                    _sort_in(Path(entry.path), suffixes, paths, left_out)

    search(folder)
    while linked:
        search(linked.pop())
    return FoundImages(tuple(sorted(paths)), left_out)


def _folders_around(folder: Path) -> set[tuple[int, int]]:
    """Return what tells the folders that hold `folder`, or what it links to, from others: device and number."""
    around: set[tuple[int, int]] = set()
    for parent in {*folder.absolute().parents, *folder.resolve().parents}:
        with contextlib.suppress(OSError):
            status = parent.stat()
            around.add((status.st_dev, status.st_ino))
    return around


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        status = entry.stat()
    except OSError:
        return "hidden" if is_hidden(entry.name) else "broken"
    if is_hidden(entry.name, status):
        return "hidden"
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    return "file" if stat.S_ISREG(status.st_mode) else "special"


def _sort_in(path: Path, suffixes: frozenset[str], paths: list[Path], left_out: LeftOut) -> None:
    suffix = path.suffix.lower()
    if suffix in suffixes:
        paths.append(path)
    elif suffix in _OTHER_PICTURES:
        left_out.unreadable_suffixes[suffix] += 1
    else:
        left_out.other_suffixes[suffix] += 1


def subfolders(folder: Path) -> list[Path]:
    """Return the visible folders in `folder`, linked ones as well, sorted by name.

    Raises:
        BitvitError: `folder` cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if _kind(entry) == "folder")
    except OSError as error:
        raise BitvitError(f"{folder}: cannot be read ({error.strerror})") from None


def refuse_special_file(path: str | os.PathLike[str], error: type[BitvitError] = BitvitError) -> None:
    """Refuse a folder, pipe, socket or device where a file is expected; reading one could wait for ever.

    A path that does not exist, or may not be looked at, is left to whoever opens it.

    Raises:
        error: with one line that names the path and what it is.
    """
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return
    if stat.S_ISREG(mode):
        return
    kinds = (
        (stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
    )  # fmt: skip
    kind = next((name for test, name in kinds if test(mode)), "special file")
    raise error(f"{os.fspath(path)}: this is a {kind}, expected a file")


def whole_content(source: str | os.PathLike[str] | IO[bytes]) -> bytes | None:
    """Return all bytes of a path, or of a stream that may have been read in part: None if it cannot be read again."""
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
    if not source.seekable():
        return None
    source.seek(0)
    return source.read()

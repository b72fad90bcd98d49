"""WebDataset shards: images and their classes inside of tar files, each image read from its place there.

A sample is all files of a shard whose paths agree up to the first dot of the name: `0001.jpg` with `0001.cls`. The
class is a number or a name in `.cls`, or the entry `label` of `.json`. Nothing is unpacked: the tables of contents are
read once, and after that images in any order.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitvit.data.class_order import ClassOrder, natural_key, ordered_classes
from bitvit.data.errors import DataError
from bitvit.data.folder import FolderImages
from bitvit.data.image_set import ImageSet
from bitvit.data.split_names import Role, split_role
from bitvit.errors import ImageError
from bitvit.image_files import is_hidden, readable_suffixes
from bitvit.text import printable

__all__ = ["ShardSource", "find_shards", "load_shards"]

_NAME_FILES = ("classes.txt", "classnames.txt", "labels.txt")
_PACKED = re.compile(r"\.(tar\.\w+|tgz|tbz2?|txz)$", re.IGNORECASE)
_MOST_BYTES_OF_A_CLASS = 1 << 16


@dataclass(frozen=True)
class ShardSource:
    """Images in shards. `places[i]` is image i's shard, offset and bytes, `names[i]` its path there."""

    shards: tuple[Path, ...]
    places: npt.NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> io.BytesIO:
        """Return the bytes of one image's file.

        Raises:
            ImageError: the shard is not there any more, or shorter than it was.
        """
        shard, offset, size = (int(number) for number in self.places[index])
        try:
            with self.shards[shard].open("rb") as file:
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise ImageError(f"{self.shards[shard]}: cannot be read ({error.strerror})") from None
        if len(content) != size:
            raise ImageError(f"{self.describe(index)}: the shard ends within this image")
        stream = io.BytesIO(content)
        stream.name = self.describe(index)
        return stream

    def describe(self, index: int) -> str:
        """Return the names of the shard and of the image in it."""
        return f"{self.shards[int(self.places[index, 0])].name}/{self.names[index]}"


@dataclass
class _Samples:
    """The samples of some shards, and their classes as they stand there."""

    shards: list[Path]
    places: list[tuple[int, int, int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def image_set(self, labels: Sequence[str]) -> ImageSet:
        """Return them as a set with these classes."""
        numbers = {label: number for number, label in enumerate(labels)}
        places = np.array(self.places, np.int64).reshape(-1, 3)
        source = ShardSource(tuple(self.shards), places, tuple(self.names))
        return ImageSet.whole(source, [numbers[name] for name in self.classes], labels)


def find_shards(folder: Path) -> list[Path]:
    """Return the tar files in a folder and in its folders of splits, in natural order; none if there is no such folder.

    Raises:
        DataError: there are compressed ones.
    """
    if not folder.is_dir():
        return []
    inside = [entry for entry in folder.iterdir() if not is_hidden(entry.name)]
    below = [entry for entry in inside if entry.is_dir() and split_role(entry.name) is not None]
    files = [path for place in (folder, *below) for path in place.iterdir() if not is_hidden(path.name)]
    shards = [path for path in files if path.suffix.lower() == ".tar" and path.is_file()]
    packed = [path for path in files if _PACKED.search(path.name)]
    if packed and len(packed) + len(shards) == sum(path.is_file() for path in files):
        raise DataError(f"{packed[0]}: is compressed, so no single image can be read: unpack it to a plain .tar")
    return sorted(shards, key=lambda path: natural_key(path.relative_to(folder).as_posix()))


def load_shards(folder: Path, class_order: ClassOrder = "natural") -> FolderImages:
    """Return the images of a folder of shards.

    `train-000000.tar` and `val-000000.tar`, or `train/000000.tar` and `val/000000.tar`, say what is held out, by the
    names of splits that folders of images have too. Names of the classes are the lines of `classes.txt` (or
    `classnames.txt`, `labels.txt`) beside the shards, in the order of their numbers.

    Args:
        folder: the folder.
        class_order: of classes that are given by name.

    Raises:
        DataError: a shard is damaged, a sample has no class or two images, or it is unclear what is held out.
    """
    by_role: dict[Role | None, list[Path]] = {}
    for shard in find_shards(folder):
        by_role.setdefault(_role(shard, folder), []).append(shard)
    if len(by_role) > 1 and None in by_role:
        raise DataError(
            f"{by_role[None][0]}: the names of other shards say train, val or test and this one's does not: rename it"
        )
    notes: list[str] = []
    samples = {role: _read(shards, notes) for role, shards in by_role.items()}
    used = sorted({name for part in samples.values() for name in part.classes}, key=natural_key)
    labels, numbered = _labels(folder, used, class_order)
    if numbered:
        for part in samples.values():
            part.classes = [labels[int(name)] for name in part.classes]
    sets = {role: part.image_set(labels) for role, part in samples.items()}
    train, val, test = sets.get("train", sets.get(None)), sets.get("val"), sets.get("test")
    if train is not None and val is None and test is not None:
        notes.append(f"{folder}: the only held-out shards are called test: they choose between epochs here")
        val, test = test, None
    return FolderImages(train, val, test, is_split=None not in by_role, notes=notes)


def _role(shard: Path, folder: Path) -> Role | None:
    """Return what a shard is for: by its folder, or by one word of its name (`imagenet-train-0001.tar`)."""
    if shard.parent != folder:
        return split_role(shard.parent.name)
    roles = {role for word in re.split(r"[\W_]+", shard.stem) if (role := split_role(word)) is not None}
    return roles.pop() if len(roles) == 1 else None


def _read(shards: Sequence[Path], notes: list[str]) -> _Samples:
    """Read the tables of contents and the classes of shards."""
    samples = _Samples(list(shards))
    suffixes = readable_suffixes()
    left_out = 0
    for number, shard in enumerate(shards):
        images: dict[str, tuple[int, int, str]] = {}
        classes: dict[str, str] = {}
        try:
            with tarfile.open(shard, "r:") as archive:
                for member in archive:
                    if not member.isreg() or member.issparse() or is_hidden(Path(member.name).name):
                        continue
                    key, suffix = _parts(member.name)
                    if suffix in suffixes:
                        if key in images:
                            raise DataError(f"{shard}/{printable(member.name)}: a second image of one sample")
                        images[key] = (member.offset_data, member.size, member.name)
                    elif suffix in (".cls", ".json"):
                        found = _class_in(archive, member, shard, suffix)
                        if found is not None and (suffix == ".cls" or key not in classes):
                            classes[key] = found
        except (tarfile.TarError, EOFError) as error:
            raise DataError(f"{shard}: is no tar file, or is damaged: {' '.join(str(error).split())}") from None
        except OSError as error:
            raise DataError(f"{shard}: cannot be read: {error.strerror or error}") from None
        left_out += len(classes.keys() - images.keys())
        for key, (offset, size, name) in images.items():
            if key not in classes:
                raise DataError(
                    f"{shard}/{printable(name)}: has no class: expected {printable(key)}.cls, or an entry 'label' in "
                    f"{printable(key)}.json"
                )
            samples.places.append((number, offset, size))
            samples.names.append(name)
            samples.classes.append(classes[key])
    if left_out:
        notes.append(f"{shards[0].parent}: {left_out} samples of the shards have no image that can be read here")
    return samples


def _parts(name: str) -> tuple[str, str]:
    """Return what WebDataset calls a key, and the suffix: all after the first dot of the name, in lower case."""
    folder, slash, last = name.rpartition("/")
    stem, dot, suffix = last.partition(".")
    return folder + slash + stem, dot + suffix.lower()


def _class_in(archive: tarfile.TarFile, member: tarfile.TarInfo, shard: Path, suffix: str) -> str | None:
    """Return the class that a member states, as text; None if a JSON file states none."""
    where = f"{shard}/{printable(member.name)}"
    if member.size > _MOST_BYTES_OF_A_CLASS:
        raise DataError(f"{where}: has {member.size} bytes, too many for a class")
    stream = archive.extractfile(member)
    assert stream is not None  # of a regular file there is one
    try:
        text = stream.read().decode("utf-8").strip()
        if suffix == ".cls":
            found: Any = text
        else:
            document = json.loads(text)
            found = document.get("label") if isinstance(document, dict) else None
    except (ValueError, RecursionError):
        raise DataError(f"{where}: is neither a number nor text in UTF-8") from None
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
        raise DataError(f"{where}: the class must be a number or a name")
    return str(found)


def _labels(folder: Path, used: Sequence[str], order: ClassOrder) -> tuple[tuple[str, ...], bool]:
    """Return the names of the classes, and whether the shards give numbers for them."""
    numbered = all(name.isascii() and name.isdigit() for name in used)
    path = next((folder / name for name in _NAME_FILES if (folder / name).is_file()), None)
    if path is None:
        if not numbered:
            return ordered_classes(used, order, folder), False
        count = 1 + max((int(name) for name in used), default=-1)
        if count > 4 * len(used) + 100:
            raise DataError(f"{folder}: the largest class is {count - 1}, but only {len(used)} classes have images")
        return tuple(str(number) for number in range(count)), True
    try:
        names = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    while names and not names[-1]:
        names.pop()
    if "" in names or len(set(names)) != len(names):
        raise DataError(f"{path}: expected one class on each line, none of them twice")
    strange = [name for name in used if (int(name) >= len(names) if numbered else name not in names)]
    if strange:
        raise DataError(f"{path}: has {len(names)} classes, and not '{printable(strange[0], 60)}', which a shard has")
    return tuple(names), numbered

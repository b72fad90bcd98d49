"""Where data sets are looked for: nothing is ever downloaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from bitvit.data.errors import DataError

__all__ = ["find_folder", "search_folders"]

# The freedesktop.org default of XDG_DATA_DIRS. Debian's data packages install into its `datasets` folder.
_SYSTEM_DATA_DIRS = os.pathsep.join(("/usr/local/share", "/usr/share"))


def search_folders(data_dir: str | Path | None) -> list[Path]:
    """Return the folders to look in: `data_dir` if given, else `$BITVIT_DATA`, `data`, the system's `datasets`."""
    if data_dir is not None:
        return [Path(data_dir).expanduser()]
    folders = [Path(entry).expanduser() for entry in os.environ.get("BITVIT_DATA", "").split(os.pathsep) if entry]
    folders.append(Path("data"))
    shared = os.environ.get("XDG_DATA_DIRS") or _SYSTEM_DATA_DIRS
    folders.extend(Path(entry) / "datasets" for entry in shared.split(os.pathsep) if entry)
    return folders


def find_folder(
    name: str, data_dir: str | Path | None, subfolders: Sequence[str], wanted: Sequence[Sequence[str]]
) -> Path:
    """Return the first folder that holds a data set.

    In each search folder, itself and then its `subfolders` are tried. A folder holds the data set if, for one of the
    alternatives in `wanted`, all of its files are there.

    Raises:
        DataError: if there is none; the message says what is looked for, and where.
    """
    roots = search_folders(data_dir)
    for root in roots:
        for folder in (root, *(root / subfolder for subfolder in subfolders)):
            if any(all((folder / entry).exists() for entry in files) for files in wanted):
                return folder
    if data_dir is not None and not roots[0].is_dir():
        raise DataError(f"{roots[0]}: no such folder (data set '{name}')")
    places = ", ".join(str(root) for root in roots)
    files = " or ".join(" + ".join(alternative) for alternative in wanted)
    hint = "" if data_dir is not None else "; name its folder with --data-dir or $BITVIT_DATA"
    raise DataError(
        f"data set '{name}' not found: looked for {files} in {places} (and {', '.join(subfolders)} there){hint}"
    )

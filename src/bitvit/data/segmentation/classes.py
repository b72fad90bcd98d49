"""The classes of a segmentation: names, colours, and the values that stand for them in masks."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitvit.data.errors import DataError
from bitvit.runtime.label_maps import IGNORED, MAX_CLASSES, default_colors

__all__ = ["IGNORED", "IGNORED_NAMES", "Classes", "Color", "numbered_classes", "read_classes"]

IGNORED_NAMES = frozenset({"ignore", "ignored", "void"})
"""Names of rows of `classes.csv` that stand for ignored pixels."""

Color = tuple[int, int, int]

_COLOR_COLUMNS = (("red", "green", "blue"), ("r", "g", "b"))
_NAME_COLUMNS = ("name", "class", "label")
_SINGLE_COLOR_COLUMNS = ("color", "colour", "hex")


@dataclass(frozen=True)
class Classes:
    """The classes and how masks write them.

    Attributes:
        labels: names, at most 255.
        colors: one for each class, to draw it with.
        color_codes: colour in an RGB mask -> class number (255: ignored); None where RGB masks have no meaning.
        value_codes: value in a grey or indexed mask -> class number. 255 is ignored unless it stands for a class.
    """

    labels: tuple[str, ...]
    colors: tuple[Color, ...]
    color_codes: dict[Color, int] | None
    value_codes: dict[int, int]

    def value_table(self) -> npt.NDArray[np.int16]:
        """Return the class number for every 16-bit value of a grey or indexed mask; -1 where it has no meaning."""
        table = np.full(1 << 16, -1, dtype=np.int16)
        table[IGNORED] = IGNORED
        for value, number in self.value_codes.items():
            table[value] = number
        return table


def numbered_classes(count: int, colors: Sequence[Color] | None = None) -> Classes:
    """Return classes called "0", "1", ... whose values in masks are their numbers.

    Raises:
        DataError: if there are more than 255.
    """
    if count > MAX_CLASSES:
        raise DataError(f"{count} classes; at most {MAX_CLASSES} are possible")
    chosen = tuple(colors) if colors is not None else default_colors(count)
    return Classes(tuple(str(i) for i in range(count)), chosen, None, {i: i for i in range(count)})


def read_classes(path: Path) -> Classes:
    """Read `classes.csv`: one row per class, in the order of the class numbers, with a header.

    Columns: `name`; optionally the colour, as `color` (`#rrggbb`) or as `red`, `green`, `blue`; optionally `value`, the
    value of the class in grey or indexed masks (by default its row, counted from 0, without the ignored ones). A row
    called `ignore` or `void` stands for pixels that count for nothing.

    Raises:
        DataError: if it cannot be read, or a row makes no sense; the message names the row.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from None
    try:
        rows = list(csv.DictReader(io.StringIO(text), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: not a CSV file ({error})") from None
    header = [column.strip().lower() for column in (rows[0] if rows else {}) if column is not None]
    name_column = next((column for column in _NAME_COLUMNS if column in header), None)
    if name_column is None:
        raise DataError(f"{path}: has no column 'name'; its header must be like name,red,green,blue")
    labels: list[str] = []
    colors: list[Color | None] = []
    color_codes: dict[Color, int] = {}
    value_codes: dict[int, int] = {}
    for line, raw in enumerate(rows, start=2):
        where = f"{path}, line {line}"
        row = {key.strip().lower(): (value or "").strip() for key, value in raw.items() if isinstance(key, str)}
        name = row[name_column]
        if not name:
            raise DataError(f"{where}: the class has no name")
        ignored = name.lower() in IGNORED_NAMES
        number = IGNORED if ignored else len(labels)
        color = _color(row, where)
        if name in labels:
            raise DataError(f"{where}: class '{name}' occurs twice")
        if color is not None and color_codes.setdefault(color, number) != number:
            raise DataError(f"{where}: colour {color} is given to two classes")
        value = _value(row, where)
        if value is None and not ignored:
            value = number
        if value is not None and value_codes.setdefault(value, number) != number:
            raise DataError(f"{where}: value {value} is given to two classes")
        if not ignored:
            labels.append(name)
            colors.append(color)
    if not 1 <= len(labels) <= MAX_CLASSES:
        raise DataError(f"{path}: lists {len(labels)} classes; 1 to {MAX_CLASSES} are possible")
    generated = default_colors(len(labels))
    drawn = tuple(color if color is not None else generated[i] for i, color in enumerate(colors))
    if color_codes and any(color is None for color in colors):
        raise DataError(f"{path}: class '{labels[colors.index(None)]}' has no colour, but others have")
    return Classes(tuple(labels), drawn, color_codes or None, value_codes)


def _color(row: dict[str, str], where: str) -> Color | None:
    for column in _SINGLE_COLOR_COLUMNS:
        text = row.get(column, "").removeprefix("#")
        if text:
            try:
                red, green, blue = bytes.fromhex(text)
            except ValueError:
                raise DataError(f"{where}: '{row[column]}' is not a colour such as #ff8000") from None
            return red, green, blue
    for columns in _COLOR_COLUMNS:
        parts = [row.get(column, "") for column in columns]
        if any(parts):
            if not all(part.isdecimal() and int(part) <= 255 for part in parts):
                raise DataError(f"{where}: a colour must be three integers from 0 to 255")
            red, green, blue = (int(part) for part in parts)
            return red, green, blue
    return None


def _value(row: dict[str, str], where: str) -> int | None:
    text = row.get("value", "")
    if not text:
        return None
    if not text.isdecimal() or int(text) >= 1 << 16:
        raise DataError(f"{where}: value '{text}' is not an integer from 0 to 65535")
    return int(text)

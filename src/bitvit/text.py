"""Text that somebody else wrote (names in a file, folders, labels), made safe to print."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["for_figure", "listed", "printable", "shortened"]

MAX_LENGTH = 200
"""Default limit of text shown in a line or a cell."""

_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Cc: control characters, escape sequences among them. Cf: invisible, and those that reverse the direction of a line.
# Cs: bytes of a file name that are not UTF-8. Zl, Zp: line and paragraph separators. Co, Cn: no meaning to show.
_ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"})
# Invisible, but part of how words and emoji are written: zero-width (non-)joiner.
_KEPT = frozenset("\u200c\u200d")


def printable(text: object, limit: int | None = MAX_LENGTH) -> str:
    r"""Return `text` as one line that a terminal shows and does not obey.

    Control characters, escape sequences, characters that change the direction of writing and bytes that are not UTF-8
    appear as `\x1b`, `\u202e` and the like. Everything else stays as it is. A text longer than `limit` characters
    loses its middle; with `limit=None` it stays whole.
    """
    shown = "".join(_shown(character) for character in shortened(str(text), limit))
    return shortened(shown, limit)  # escapes are longer than what they stand for


def shortened(text: str, limit: int | None = MAX_LENGTH) -> str:
    """Return `text` with `…` in place of its middle if it has more than `limit` characters."""
    if limit is None or len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail - 1]}…{text[len(text) - tail :]}"


def _shown(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    if character in _KEPT or unicodedata.category(character) not in _ESCAPED_CATEGORIES:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a file name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def listed(entries: Sequence[str], most: int, separator: str = ", ", conjunction: str = " and ") -> str:
    """Return the first `most` entries in a row, and how many more there are."""
    more = f"{conjunction}{len(entries) - most} more" if len(entries) > most else ""
    return separator.join(entries[:most]) + more


def for_figure(text: object, limit: int | None = 60) -> str:
    """Return `text` as Matplotlib shows it: `$` would begin a formula, which may even be an invalid one."""
    return printable(text, limit).replace("$", r"\$")

"""Puts networks into the page that ``make web`` builds (``page.html`` beside this file) and that wheels bring along."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from bitvit.files import read_regular_file
from bitvit.program import read_file
from bitvit.web.errors import PageError

__all__ = ["TEMPLATE", "PageModel", "page_model", "web_page"]

TEMPLATE = Path(__file__).with_name("page.html")
"""The page without a network. It is built, not part of the sources."""

_PLACE = "/*MODELS*/"
_SHOWN_BY_BROWSERS = {"PNG", "JPEG", "MPO", "GIF", "BMP", "WEBP"}


@dataclass(frozen=True)
class PageModel:
    """A network and pictures to try it on.

    Attributes:
        name: of the file, shown on the page.
        data: the content of the ``.bitvit`` file.
        pictures: names and contents of picture files.
    """

    name: str
    data: bytes
    pictures: tuple[tuple[str, bytes], ...] = ()


def page_model(path: str | os.PathLike[str], pictures: Sequence[str | os.PathLike[str]] = ()) -> PageModel:
    """Read a network and pictures for a page.

    Args:
        path: of the ``.bitvit`` file, which is checked.
        pictures: files that browsers can show: PNG, JPEG, WebP, GIF or BMP.

    Raises:
        ProgramError: the file violates a rule of ``docs/format.md``.
        PageError: a picture cannot be read, or browsers do not show its format.
    """
    read_file(path)
    shown = tuple((Path(picture).name, _picture(Path(picture))) for picture in pictures)
    return PageModel(Path(path).name, read_regular_file(path), shown)


def _picture(path: Path) -> bytes:
    try:
        data = read_regular_file(path)
        with Image.open(io.BytesIO(data)) as image:
            kind = image.format
    except UnidentifiedImageError:
        raise PageError(f"{path}: not a picture") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PageError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if kind not in _SHOWN_BY_BROWSERS:
        raise PageError(f"{path}: browsers do not show {kind}; convert it to PNG")
    return data


def web_page(models: Sequence[PageModel]) -> bytes:
    """Return the page with networks inside: HTML that needs no other file and makes no connection.

    Args:
        models: the page opens with the first of them.

    Raises:
        PageError: the page was not built with this installation.
    """
    try:
        template = TEMPLATE.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PageError(
            "this installation of bitvit was built without the web page: install a released wheel, "
            "or run `make web` in the source tree"
        ) from None
    contents = {
        "models": [
            {
                "name": model.name,
                "data": _base64(model.data),
                "samples": [{"name": name, "data": _base64(data)} for name, data in model.pictures],
            }
            for model in models
        ]
    }
    # Inside of <script>, HTML knows no escapes but would end at "</script": JSON can write "<" without it.
    text = json.dumps(contents).replace("<", "\\u003c")
    return template.replace(_PLACE, text).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

"""One HTML file that holds every figure, its caption and the numbers."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2833; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
img { max-width: 100%; height: auto; border: 1px solid #e5e8eb; }
figure { margin: 1.5rem 0 2.5rem; }
figcaption { margin-top: .5rem; max-width: 55rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-bottom: .3rem; }
table { border-collapse: collapse; } td { padding: .1rem 1rem .1rem 0; vertical-align: top; }
pre { background: #f4f6f7; padding: 1rem; overflow-x: auto; font-size: 12px; max-height: 30rem; }
table.figures { font-size: 14px; margin-bottom: 2rem; } table.figures th { text-align: left; font-weight: 600; }
table.figures th, table.figures td { border-bottom: 1px solid #e5e8eb; padding: .2rem 1.2rem .2rem 0; }
table.figures td { overflow-wrap: anywhere; }
.note { color: #7b8a97; }
"""


@dataclass(frozen=True)
class Table:
    """Texts in rows, all of the header's length."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Section:
    """What it shows, what is seen in it, a figure (PNG) and a table: each may be missing."""

    key: str
    title: str
    caption: str
    png: bytes | None = None
    table: Table | None = None


def html_page(title: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section], numbers: Any) -> str:
    """Return the page: no other file and no network is needed to show it."""
    rows = "".join(f"<tr><td>{html.escape(key)}</td><td>{html.escape(value)}</td></tr>" for key, value in facts)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>',
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1><table>{rows}</table>",
    ]
    for section in sections:
        parts.append(f'<h2 id="{html.escape(section.key)}">{html.escape(section.title)}</h2>')
        if section.png is None:
            kind = "note" if section.table is None else "caption"
            parts += [f'<p class="{kind}">{html.escape(section.caption)}</p>', *_table(section.table)]
            continue
        source = base64.b64encode(section.png).decode("ascii")
        parts.append(
            f'<figure><img alt="{html.escape(section.title)}" src="data:image/png;base64,{source}">'
            f"<figcaption>{html.escape(section.caption)}</figcaption></figure>"
        )
        parts += _table(section.table)
    shown = html.escape(json.dumps(numbers, indent=1))
    parts.append(f"<h2>Numbers</h2><details><summary>JSON</summary><pre>{shown}</pre></details></body></html>")
    return "\n".join(parts) + "\n"


def _table(table: Table | None) -> list[str]:
    if table is None:
        return []
    header = "".join(f"<th>{html.escape(name)}</th>" for name in table.header)
    rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in table.rows)
    return ['<table class="figures"><tr>' + header + "</tr>", *(f"<tr>{row}</tr>" for row in rows), "</table>"]

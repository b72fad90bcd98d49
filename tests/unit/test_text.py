"""Texts of others, made safe to print."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitvit.text import for_figure, listed, printable, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("photo [copy].png", "photo [copy].png"),
        (":smile: [/x] [bold]", ":smile: [/x] [bold]"),
        ("Größe 1 µm – 狗 🐶 é", "Größe 1 µm – 狗 🐶 é"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]8;;http://x\x07link", "\\x1b]8;;http://x\\x07link"),
        ("\x9b31m\x00\x7f", "\\x9b31m\\x00\\x7f"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("a\u2028b\u200b\ufeff", "a\\u2028b\\u200b\\ufeff"),
        (os.fsdecode(b"caf\xe9"), "caf\\xe9"),
        ("\U000e0041", "\\U000e0041"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_texts_lose_their_middle() -> None:
    text = "start " + "x" * 10_000_000 + " end"
    shown = printable(text, 60)
    assert len(shown) == 60
    assert shown.startswith("start ")
    assert shown.endswith(" end")
    assert "…" in shown
    assert printable(text, None) == text
    assert shortened("short", 5) == "short"


@given(st.text(), st.integers(10, 80))
def test_every_text_is_one_printable_line_within_its_limit(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert len(shown.splitlines()) <= 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
    shown.encode("utf-8")
    assert printable(shown, limit) == shown


@pytest.mark.parametrize("text", ["cost $5 and $10", "$x^$", "$\\frac{", "plain", "$$$$"])
def test_figures_show_dollars(text: str) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    label = figure.text(0.1, 0.1, for_figure(text))
    figure.canvas.draw()
    assert label._preprocess_math(label.get_text()) == (text, False)


def test_a_list_says_how_much_it_leaves_out() -> None:
    assert listed([], 2) == ""
    assert listed(["a", "b"], 2) == "a, b"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed(["a", "b", "c", "d"], 1, "; ", "; and ") == "a; and 3 more"

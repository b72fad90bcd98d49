"""Figures as bytes."""

from __future__ import annotations

from matplotlib.figure import Figure

from bitvit.figures import png_of


def test_figures_are_png_and_the_same_each_time() -> None:
    pictures = []
    for _ in range(2):
        figure = Figure(figsize=(1, 1))
        figure.suptitle("狗 \u0645\u06cc")  # which Matplotlib's font lacks: no warning, which would be an error here
        pictures.append(png_of(figure))
    assert pictures[0].startswith(b"\x89PNG")
    assert pictures[0] == pictures[1]

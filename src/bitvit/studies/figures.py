"""A study's figure: bars for methods, lines for a sweep, a heat map for a grid."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from bitvit.files import write_atomically
from bitvit.studies.summary import Line, Summary

__all__ = ["draw_figure"]

# In the order of rows; distinct in grey and for the colour-blind.
_COLORS = ("#9aa5b1", "#d1495b", "#2e86ab", "#0b6e4f", "#edae49", "#6c4f9c", "#3d3d3d", "#8c5e3c")
_MARKERS = "osD^vPX*"
_ERROR_BARS = {"lw": 1, "capsize": 2}


def draw_figure(summary: Summary, path: Path) -> None:
    """Write the figure that suits the study's axes, with standard errors over seeds.

    Raises:
        OutputError: if it cannot be written.
    """
    # The object interface: pyplot would choose a window system and keep global state.
    from matplotlib.figure import Figure

    axes = summary.study.axes
    rows = len(summary.study.rows)
    if len(axes) == 2:
        figure = Figure(figsize=(1.2 + 4.6 * rows, 4.2), dpi=150, layout="constrained")
        _grids(figure, summary)
    elif len(axes) == 1:
        figure = Figure(figsize=(6.4, 4.2), dpi=150, layout="constrained")
        _curves(figure, summary)
    else:
        figure = Figure(figsize=(7.2, 1.2 + 0.42 * len(summary.lines)), dpi=150, layout="constrained")
        _bars(figure, summary)
    figure.suptitle(summary.study.title, x=0.01, ha="left", fontsize=10)
    image = io.BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})
    write_atomically(path, image.getvalue())


def _bars(figure: Any, summary: Summary) -> None:
    axes = figure.add_subplot()
    positions = list(range(len(summary.lines)))
    means, errors = zip(*(_score(line) for line in summary.lines), strict=True)
    are_packed = [
        not line.records or line.records[0].get(f"packed_{line.metric.key}") is not None for line in summary.lines
    ]
    colors = [_COLORS[3] if is_packed else _COLORS[0] for is_packed in are_packed]
    bars = axes.barh(positions, means, xerr=errors, color=colors, error_kw=_ERROR_BARS)
    axes.bar_label(bars, [_text(line) for line in summary.lines], padding=6, fontsize=8)
    if len(set(are_packed)) == 2:  # one bar of each colour stands for all of its kind in the legend
        bars[are_packed.index(True)].set_label("packed file")
        bars[are_packed.index(False)].set_label("no packed file")
    papers = [(line.paper, position) for position, line in enumerate(summary.lines) if line.paper is not None]
    if papers:
        axes.plot(*zip(*papers, strict=True), "|", color="black", markersize=12, label="paper, on its own data")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(fontsize=8, loc="outside lower right", ncols=3)
    axes.set_yticks(positions, [line.row.title for line in summary.lines], fontsize=8)
    axes.invert_yaxis()
    known = [value for value in [*means, *(paper for paper, _ in papers)] if value == value]
    axes.set_xlim(0, 1.18 * max(known, default=100))
    axes.set_xlabel(_accuracy_label(summary))
    axes.spines[["top", "right"]].set_visible(False)


def _curves(figure: Any, summary: Summary) -> None:
    axes = figure.add_subplot()
    (axis,) = summary.study.axes
    are_numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in axis.values)
    places = [float(value) for value in axis.values] if are_numbers else [float(i) for i in range(len(axis.values))]
    for i, row in enumerate(summary.study.rows):
        lines = [line for line in summary.lines if line.row is row]
        means, errors = zip(*(_score(line) for line in lines), strict=True)
        style = {"color": _COLORS[i % len(_COLORS)], "marker": _MARKERS[i % len(_MARKERS)], "markersize": 4}
        axes.errorbar(places, means, yerr=errors, label=row.title, capsize=2, lw=1.4, **style)
    if are_numbers and places[0] > 0 and places[-1] >= 10 * places[0]:
        axes.set_xscale("log")
    axes.set_xticks(places, [str(value) for value in axis.values], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_xlabel(axis.title)
    axes.set_ylabel(_accuracy_label(summary))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _grids(figure: Any, summary: Summary) -> None:
    first, second = summary.study.axes
    panels = figure.subplots(1, len(summary.study.rows), squeeze=False)[0]
    known = [mean for mean, _ in map(_score, summary.lines) if mean == mean]
    low, high = min(known, default=0.0), max(known, default=100.0)
    for panel, row in zip(panels, summary.study.rows, strict=True):
        at = {tuple(line.point.values()): line for line in summary.lines if line.row is row}
        cells = [[at[(x, y)] for x in first.values] for y in second.values]
        means = [[_score(line)[0] for line in cells_of_row] for cells_of_row in cells]
        image = panel.imshow(means, cmap="viridis", vmin=low, vmax=high, aspect="auto")
        for y, line_of_cells in enumerate(cells):
            for x, line in enumerate(line_of_cells):
                is_dark = means[y][x] < (low + high) / 2
                text = _text(line).replace(" ± ", "\n± ")
                panel.text(x, y, text, ha="center", va="center", fontsize=7, color="white" if is_dark else "black")
        panel.set_xticks(range(len(first.values)), [str(value) for value in first.values])
        panel.set_yticks(range(len(second.values)), [str(value) for value in second.values])
        panel.set_xlabel(first.title)
        panel.set_ylabel(second.title)
        if len(summary.study.rows) > 1:
            panel.set_title(row.title, fontsize=9)
    figure.colorbar(image, ax=list(panels), label=_accuracy_label(summary))


def _score(line: Line) -> tuple[float, float]:
    """Return mean and standard error in percent; NaN, which is not drawn, without results or with one seed."""
    spread = line.spread(line.metric.key, 100)
    nan = float("nan")
    return (nan, nan) if spread is None else (spread.mean, nan if spread.error is None else spread.error)


def _accuracy_label(summary: Summary) -> str:
    has_errors = any(error == error for _, error in map(_score, summary.lines))
    return f"{summary.metric.title} (%), " + ("± standard error" if has_errors else "one seed")


def _text(line: Line) -> str:
    spread = line.spread(line.metric.key, 100)
    if spread is None:
        return "no run yet"
    return f"{spread.mean:.1f}" + ("" if spread.error is None else f" ± {spread.error:.1f}")

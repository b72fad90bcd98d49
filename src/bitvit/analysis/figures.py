"""Bar charts of the benchmarks and the demo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitvit.analysis.latency import Timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BITVIT_COLOR = "#0b6e4f"
OTHER_COLOR = "#9aa5b1"


def latency_figure(timings: Sequence[Timing], title: str, batch: int, path: Path) -> None:
    """Write a bar chart of the median times by image, with the quartiles, bitvit's own bar in green."""
    figure = _figure(6.4, 0.9 + 0.45 * len(timings))
    axes = figure.add_subplot()
    names = [timing.name for timing in timings]
    medians = [timing.median_ms / batch for timing in timings]
    below = [(timing.median_ms - timing.quartile_ms) / batch for timing in timings]
    above = [(timing.third_quartile_ms - timing.median_ms) / batch for timing in timings]
    bars = axes.barh(names, medians, xerr=[below, above], color=_colors(names), error_kw={"lw": 1, "capsize": 2})
    axes.bar_label(bars, [f"{value:.3g} ms" for value in medians], padding=6)
    axes.set_xlim(0, 1.25 * max(median + more for median, more in zip(medians, above, strict=True)))
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("milliseconds an image (median, quartiles)")
    _finish(figure, path)


def comparison_figure(rows: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """Write three bar charts side by side: accuracy, bytes and milliseconds of several forms of one network.

    Args:
        rows: for each form `name`, `accuracy` (0..1), `size_bytes` and `latency_ms`.
        title: headline.
        path: PNG to write.
    """
    names = [str(row["name"]) for row in rows]
    figure = _figure(10.0, 1.3 + 0.45 * len(rows))
    panels = [
        ("accuracy", [100 * row["accuracy"] for row in rows], "{:.1f} %"),
        ("size", [row["size_bytes"] / 1e3 for row in rows], "{:,.0f} kB"),
        ("time an image", [row["latency_ms"] for row in rows], "{:.3g} ms"),
    ]
    shared = None
    for index, (label, values, form) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), index, sharey=shared)
        shared = shared or axes
        bars = axes.barh(names, values, color=_colors(names))
        axes.bar_label(bars, [form.format(value) for value in values], padding=4, fontsize=9)
        axes.set_xlim(0, 1.35 * max(values))
        axes.set_title(label, loc="left", fontsize=10)
        axes.set_xticks([])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        if index > 1:
            axes.tick_params(labelleft=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    shared_axes = figure.axes[0]
    shared_axes.invert_yaxis()
    _finish(figure, path, invert=False)


def _figure(width: float, height: float) -> Figure:
    # Without pyplot there is no window system to look for and no global state.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _colors(names: Sequence[str]) -> list[str]:
    return [BITVIT_COLOR if "packed" in name or name.startswith("bitvit") else OTHER_COLOR for name in names]


def _finish(figure: Figure, path: Path, invert: bool = True) -> None:
    for axes in figure.axes:
        if invert:
            axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)

"""Bar charts of the benchmarks and the demo."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitvit.files import write_atomically
from bitvit.text import for_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BITVIT_COLOR = "#0b6e4f"
OTHER_COLOR = "#9aa5b1"


def bench_figure(document: dict[str, Any], path: Path) -> None:
    """Write the charts of `bitvit bench`.

    A bar of the time per image for each engine, bitvit's own in green; below, where the document has `scaling`, time
    against threads, batch and image size.

    Args:
        document: what `bitvit bench --json` prints.
        path: PNG to write.
    """
    results, batch = document["results"], document["batch"]
    scaling = {key: rows for key, rows in document.get("scaling", {}).items() if len(rows) > 1}
    bars_height = 0.9 + 0.4 * len(results)
    figure = _figure(9.6 if scaling else 6.8, bars_height + (2.9 if scaling else 0))
    heights = [bars_height, 2.9] if scaling else [bars_height]
    grid = figure.add_gridspec(len(heights), max(len(scaling), 1), height_ratios=heights)
    axes = figure.add_subplot(grid[0, :])
    names = [str(result["name"]) for result in results]
    medians = [result["median_ms"] / batch for result in results]
    below = [(result["median_ms"] - result["quartile_ms"]) / batch for result in results]
    above = [(result["third_quartile_ms"] - result["median_ms"]) / batch for result in results]
    bars = axes.barh(names, medians, xerr=[below, above], color=_colors(names), error_kw={"lw": 1, "capsize": 2})
    labels = [_bar_label(result, batch, medians[0]) for result in results]
    axes.bar_label(bars, labels, padding=6, fontsize=9)
    axes.set_xlim(0, 1.4 * max(median + more for median, more in zip(medians, above, strict=True)))
    title = f"{for_figure(document['name'])}, batch {batch}, {document['threads']} thread(s)"
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel("milliseconds per image (median, quartiles)")
    axes.invert_yaxis()
    for column, (key, rows) in enumerate(scaling.items()):
        _scaling_panel(figure.add_subplot(grid[1, column]), key, rows)
    _finish(figure, path, invert=False)


def _bar_label(result: dict[str, Any], batch: int, first: float) -> str:
    median = result["median_ms"] / batch
    factor = "" if median == first else f"  ({median / first:.1f}x)"
    precision = str(result.get("precision", ""))
    # An engine that was asked for another arithmetic than it runs has to say so in the picture as well.
    asked = str(result["name"]).rpartition(" ")[2]
    silent = f"  runs {precision}" if asked == "bf16" and asked not in precision else ""
    return f"{median:.3g} ms{factor}{silent}"


# Which column of a scaling table is drawn against what, and what would be perfect.
_PANELS: dict[str, tuple[str, str, str, str]] = {
    "threads": ("threads", "speedup", "speed against one thread", "as many times as threads"),
    "batch": ("batch", "ms_per_image", "ms per image", "batch 1"),
    "size": ("size", "time_ratio", "time, smallest image = 1", "operations"),
}


def _scaling_panel(axes: Axes, key: str, rows: Sequence[dict[str, Any]]) -> None:
    x_name, y_name, label, ideal_name = _PANELS[key]
    x = [row[x_name] for row in rows]
    if key == "batch":
        ideal = [rows[0][y_name]] * len(rows)
    else:
        ideal = [row["threads" if key == "threads" else "operations_ratio"] for row in rows]
    axes.plot(x, ideal, "--", color=OTHER_COLOR, label=ideal_name)
    axes.plot(x, [row[y_name] for row in rows], "o-", color=BITVIT_COLOR, label="bitvit")
    axes.set_xticks(x)
    axes.set_xlabel("image size" if key == "size" else key)
    axes.set_title(label, loc="left", fontsize=10)
    axes.set_ylim(0, 1.2 * max(*ideal, *(row[y_name] for row in rows)))
    axes.legend(frameon=False, fontsize=8)


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
        ("time per image", [row["latency_ms"] for row in rows], "{:.3g} ms"),
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
    image = io.BytesIO()
    figure.savefig(image, format="png", metadata={"Software": None})
    write_atomically(path, image.getvalue())

"""The figures of an inspection, each as PNG bytes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitvit.inspection.attention_maps import AttentionMaps
from bitvit.inspection.curves import Curve
from bitvit.text import for_figure
from bitvit.training.phase_names import PHASE_TITLES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REAL, BINARY, LIMIT, GREY = "#9aa5b1", "#0b6e4f", "#c0392b", "#5d6d7e"
RUN_COLORS = ("#0b6e4f", "#2d6cdf", "#d98324", "#8e44ad", "#7f8c8d", "#c0392b")


def draw_distribution(document: Mapping[str, Any], title: str) -> bytes:
    """Draw histograms of A_re, of A_re scaled by Eq. 8 and by Eq. 2, and the levels that the network uses instead."""
    has_levels = "binary" in document
    panels = 4 if has_levels else 3
    figure = _figure(3.3 * panels, 3.2)
    axes = figure.subplots(1, panels)
    names = {"real": "A_re", "eq8": "A_re / γ of Eq. 8", "eq2": "A_re / γ of Eq. 2"}
    for panel, (key, name) in zip(axes, names.items(), strict=False):
        panel.set_xlabel("value")
        if document[key] is None:
            panel.set_title(f"{name}\nundefined", fontsize=9, loc="left")
            panel.text(0.5, 0.5, "no value of A_re\nexceeds 0.5", transform=panel.transAxes, ha="center", color=GREY)
            panel.set_xticks([])
            panel.set_yticks([])
            continue
        _histogram(panel, document[key])
        note = (
            f"mean {document[key]['mean']:.3f}" if key == "real" else f"{document[key]['share_of_ones']:.1%} become 1"
        )
        panel.set_title(f"{name}\n{note}", fontsize=9, loc="left")
    if has_levels:
        _level_bars(axes[3], document["binary"])
    axes[0].set_ylabel("share of values")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return _png(figure)


def _histogram(panel: Axes, values: Mapping[str, Any]) -> None:
    shares = np.asarray(values["shares"])
    edges = np.linspace(0, values["edges_to"], len(shares) + 1)
    panel.bar(edges[:-1], shares, width=np.diff(edges), align="edge", color=REAL)
    panel.set_yscale("log")
    panel.axvline(0.5, color=LIMIT, lw=1, ls="--")
    right = max(float(values["edges_to"]), 0.6)
    panel.set_xlim(0, right)
    _note_line(panel, 0.5, "0.5", (3, -9), "left")


def _note_line(panel: Axes, x: float, text: str, offset: tuple[int, int], side: str) -> None:
    """Write beside the upper end of a vertical line."""
    panel.annotate(
        text,
        (x, 1),
        offset,
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        fontsize=8,
        color=LIMIT,
        ha=side,
    )


def _level_bars(panel: Axes, binary: Mapping[str, Any]) -> None:
    levels = sorted(binary["levels"], key=lambda item: item["value"])
    positions = range(len(levels))
    bars = panel.bar(positions, [level["share"] for level in levels], color=BINARY, width=0.7)
    panel.set_yscale("log")
    panel.set_xticks(list(positions), [f"{level['value']:.3g}" for level in levels], fontsize=8)
    if len(levels) > 6:
        panel.tick_params(axis="x", rotation=60)
    else:
        panel.bar_label(bars, [_percent(level["share"]) for level in levels], fontsize=8, padding=1)
    shown = "" if binary["number_of_levels"] == len(levels) else f" of {binary['number_of_levels']}"
    plural = "level" if len(levels) == 1 else "levels"
    panel.set_title(f"as the network binarizes it\n{len(levels)}{shown} {plural}", fontsize=9, loc="left")
    panel.set_xlim(-0.7, max(len(levels), 4) - 0.3)
    panel.set_ylim(min(0.01, 0.5 * min(level["share"] for level in levels)), 3)
    panel.set_xlabel("level")


def _percent(share: float) -> str:
    return "<0.1%" if 0 < share < 0.0005 else f"{share:.1%}"


def draw_module_losses(document: Mapping[str, Any]) -> bytes:
    """Draw accuracy and loss of the network with each kind of module switched."""
    metric = document["metric"]
    groups = []
    if "only" in document:
        groups.append(("teacher, only this binary, nothing retrained", document["only"], document["teacher"], REAL))
    groups.append(("student, only this real, nothing retrained", document["restored"], document["student"], BINARY))
    figure = _figure(10.4, 0.9 + 1.9 * len(groups))
    axes = figure.subplots(len(groups), 2, squeeze=False)
    for row, (title, results, reference, color) in zip(axes, groups, strict=True):
        kinds = list(results)
        for panel, key, scale, form in ((row[0], metric["key"], 100, "{:.1f} %"), (row[1], "loss", 1, "{:.2f}")):
            values = [scale * results[kind][key] for kind in kinds]
            bars = panel.barh(kinds, values, color=color)
            labels = panel.bar_label(bars, [form.format(value) for value in values], padding=3, fontsize=8)
            for label in labels:  # readable where the dashed line runs through it
                label.set(bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8}, zorder=5)
            line = scale * reference[key]
            panel.axvline(line, color=LIMIT, lw=1, ls="--")
            _note_line(panel, line, "unchanged " + form.format(line), (0, 3), "center")
            panel.set_xlim(0, 1.2 * max([*values, line]))
            panel.invert_yaxis()
        row[0].set_title(f"{title}\n", fontsize=9, loc="left")
        row[1].tick_params(labelleft=False)
    axes[-1][0].set_xlabel(f"{metric['title']}, %")
    axes[-1][1].set_xlabel("loss")
    return _png(figure)


def draw_curves(runs: Mapping[str, Sequence[Curve]]) -> bytes:
    """Draw training loss (solid) and test loss (dashed) of runs, a panel for each phase."""
    phases = [
        phase for phase in PHASE_TITLES if any(curve.phase == phase for curves in runs.values() for curve in curves)
    ]
    figure = _figure(0.6 + 4.1 * len(phases), 3.8)
    panels = figure.subplots(1, len(phases), sharey=True, squeeze=False)[0]
    for panel, phase in zip(panels, phases, strict=True):
        for index, (name, curves) in enumerate(runs.items()):
            color = RUN_COLORS[index % len(RUN_COLORS)]
            for curve in curves:
                if curve.phase == phase:
                    score = "" if curve.score is None else f", {curve.metric_title} {curve.score:.1%}"
                    panel.plot(curve.epochs, curve.train, color=color, lw=1.4, label=f"{for_figure(name)}{score}")
                    marker = "o" if len(curve.test) < 20 else None
                    panel.plot(curve.test_epochs, curve.test, color=color, lw=1.2, ls="--", marker=marker, ms=3)
        panel.set_title(PHASE_TITLES[phase], fontsize=9, loc="left")
        panel.set_xlabel("epoch")
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.legend(frameon=False, fontsize=8)
        panel.grid(alpha=0.25)
    panels[0].set_ylabel("loss (solid: training, dashed: test)")
    return _png(figure)


def draw_maps(maps: AttentionMaps, pixels: npt.NDArray[np.uint8], labels: Sequence[str]) -> bytes:
    """Draw a row for each image: the image, and over it the attention of each form."""
    count = len(pixels)
    columns = 1 + len(maps.columns)
    figure = _figure(1.55 * columns, 0.55 + 1.5 * count)
    axes = figure.subplots(count, columns, squeeze=False)
    for row, image in enumerate(pixels):
        shown = image[..., :3] if image.shape[-1] > 1 else np.repeat(image, 3, axis=-1)
        axes[row][0].imshow(shown, interpolation="nearest")
        axes[row][0].set_ylabel(for_figure(labels[row]), fontsize=8)
        grey = image.mean(axis=-1)
        height, width = grey.shape
        for column, form in enumerate(maps.maps, start=1):
            panel = axes[row][column]
            place: dict[str, Any] = {"interpolation": "nearest", "extent": (0, width, height, 0), "vmin": 0}
            found = form[row].numpy()
            panel.imshow(grey, cmap="gray", vmax=255, **place)
            panel.imshow(found, cmap="inferno", vmax=1, alpha=0.62, **place)
            if not found.any():
                panel.text(width / 2, height / 2, "none", color="white", ha="center", va="center", fontsize=9)
    for panel, name in zip(axes[0], ["image", *maps.columns], strict=True):
        panel.set_title(textwrap.fill(name, 16), fontsize=8)
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    return _png(figure, frame=True)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=130, layout="constrained")


def _png(figure: Figure, frame: bool = False) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    for axes in figure.axes:
        if not frame:
            axes.spines[["top", "right"]].set_visible(False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()

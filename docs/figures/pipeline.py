"""Draw `pipeline.svg`, the picture at the top of the README: photos -> 1-bit network -> one file -> any machine.

python docs/figures/pipeline.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

INK, LIGHT, BLUE, ORANGE = "#24292f", "#f6f8fa", "#2f6fb5", "#e08a1e"


def box(axes: Axes, x: float, title: str, lines: str) -> None:
    """Draw one station with room for a picture above its text."""
    style = "round,pad=0,rounding_size=0.12"
    axes.add_patch(FancyBboxPatch((x, 0.1), 2.3, 2.5, boxstyle=style, facecolor=LIGHT, edgecolor=INK))
    axes.text(x + 1.15, 0.95, title, ha="center", va="center", fontsize=11, weight="bold", color=INK)
    axes.text(x + 1.15, 0.47, lines, ha="center", va="center", fontsize=8, color=INK, linespacing=1.3)


def arrow(axes: Axes, x: float, command: str) -> None:
    """Draw the command that leads from one station to the next."""
    line = FancyArrowPatch((x, 1.35), (x + 1.3, 1.35), arrowstyle="-|>", mutation_scale=14, color=INK, linewidth=1.4)
    axes.add_patch(line)
    axes.text(x + 0.65, 1.58, command, ha="center", fontsize=8, family="monospace", color=INK)


def photos(axes: Axes, x: float) -> None:
    """Draw three photos of a landscape, one behind another."""
    for shift in (0.3, 0.15, 0.0):
        left, low = x + 0.6 + shift, 1.3 + shift * 0.9
        axes.add_patch(Rectangle((left, low), 0.85, 0.8, facecolor="#cfe3f7", edgecolor=INK))
        axes.fill([left, left + 0.3, left + 0.6], [low, low + 0.5, low], color="#5b8c5a")
        axes.fill([left + 0.3, left + 0.6, left + 0.85], [low, low + 0.36, low], color="#7aa874")
        axes.plot([left + 0.65], [low + 0.62], marker="o", markersize=5, color=ORANGE)


def bits(axes: Axes, x: float) -> None:
    """Draw a weight matrix of plus and minus ones."""
    signs = np.random.default_rng(1).integers(0, 2, (6, 10))
    for row, column in np.ndindex(*signs.shape):
        color = BLUE if signs[row, column] else "#ffffff"
        corner = (x + 0.4 + 0.15 * column, 1.35 + 0.17 * row)
        axes.add_patch(Rectangle(corner, 0.15, 0.17, facecolor=color, edgecolor=INK, linewidth=0.5))


def file(axes: Axes, x: float) -> None:
    """Draw a sheet of paper with the file's suffix."""
    axes.fill(
        [x + 0.7, x + 1.35, x + 1.6, x + 1.6, x + 0.7], [1.25, 1.25, 1.25, 2.2, 2.2], facecolor="#ffffff", edgecolor=INK
    )
    axes.add_patch(Rectangle((x + 0.7, 1.48), 0.9, 0.34, facecolor=BLUE, edgecolor=INK))
    axes.text(x + 1.15, 1.64, ".bitvit", ha="center", va="center", fontsize=9, color="white", family="monospace")


def machine(axes: Axes, x: float) -> None:
    """Draw a processor."""
    axes.add_patch(Rectangle((x + 0.75, 1.35), 0.8, 0.8, facecolor="#ffffff", edgecolor=INK, linewidth=1.4))
    for step in np.linspace(0.12, 0.68, 5):
        for start, end in (((0.75 + step, 1.2), (0.75 + step, 1.35)), ((0.75 + step, 2.15), (0.75 + step, 2.3))):
            axes.plot([x + start[0], x + end[0]], [start[1], end[1]], color=INK, linewidth=1)
        for start, end in (((0.6, 1.35 + step), (0.75, 1.35 + step)), ((1.55, 1.35 + step), (1.7, 1.35 + step))):
            axes.plot([x + start[0], x + end[0]], [start[1], end[1]], color=INK, linewidth=1)
    axes.text(x + 1.15, 1.75, "CPU", ha="center", va="center", fontsize=10, color=INK, weight="bold")


def main() -> None:
    """Write the picture beside this script."""
    mpl.rcParams.update({"svg.hashsalt": "bitvit", "font.family": "DejaVu Sans"})
    figure = Figure(figsize=(10.2, 2.1))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.1, 13.2), ylim=(0, 2.7))
    axes.axis("off")
    stations = (
        (photos, "your photos", "a folder per class,\nor photos with masks"),
        (bits, "1-bit network", "weights and activations\nare +1 or -1"),
        (file, "one file", "weights, classes,\npreprocessing"),
        (machine, "any CPU", "the same answer to the bit,\nno PyTorch"),
    )
    for index, (draw, title, lines) in enumerate(stations):
        x = 3.6 * index
        box(axes, x, title, lines)
        draw(axes, x)
    for index, command in enumerate(("bitvit train", "bitvit export", "bitvit predict")):
        arrow(axes, 3.6 * index + 2.3, command)
    figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()

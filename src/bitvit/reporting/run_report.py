"""`report_run`: the sections of a run's report, from its folder and its validation images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bitvit.checkpoints import is_binary
from bitvit.data import ImageSet
from bitvit.errors import UsageError
from bitvit.files import write_atomically
from bitvit.inspection import InspectedRun, captions, drawing, open_run
from bitvit.inspection.attention_maps import attention_maps
from bitvit.inspection.curves import read_curves
from bitvit.inspection.page import Section, Table, html_page
from bitvit.inspection.taps import attention_layers
from bitvit.layers import is_comparison_only
from bitvit.reporting.finished_run import FinishedRun, read_run
from bitvit.reporting.packed_student import PackedStudent, pack_student
from bitvit.reporting.worst_images import WorstImage, draw_worst, find_worst
from bitvit.training.phase_names import PHASE_TITLES

__all__ = ["compared", "report_run"]

_MOST_DRAWN = 24  # the table names the others


def report_run(
    folder: str | os.PathLike[str],
    images: ImageSet,
    out: str | os.PathLike[str] | None = None,
    *,
    count: int = 512,
    worst: int = 12,
    maps: int = 6,
    note: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Write the report of a finished run as one HTML file, which needs no other file and no network.

    Args:
        folder: of the run.
        images: labelled images that it was not trained on.
        out: the file; by default `report.html` in the folder.
        count: how many images to look at, spread over the set.
        worst: how many of the most wrong ones to show.
        maps: images with attention maps.
        note: is told what is being made.

    Returns:
        The numbers that the page shows.

    Raises:
        CheckpointError: the folder holds no network. ImageError: an image cannot be decoded.
        UsageError: the run is not finished.
        OutputError: the file cannot be written.
    """
    run = read_run(Path(folder))
    if not len(images):
        raise UsageError("there are no images to report on")
    positions = np.unique(np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(np.int64))
    chosen = images.subset(positions)
    note("packing and timing")
    packed = pack_student(run, chosen)
    note("the worst images")
    found = find_worst(run, chosen, worst)
    note("attention maps")
    sections = [
        _distance(run, packed),
        _curves(run),
        *_confusion(run),
        _worst(run, chosen, found),
        _maps(run, chosen, maps),
    ]
    numbers = {
        "run": run.name,
        "images": len(chosen),
        "report": run.report,
        "packed": None if isinstance(packed, str) else _packed_numbers(packed),
        "worst": [vars(item) for item in found],
    }
    page = html_page(f"Run {run.name}", _facts(run, len(chosen)), sections, numbers)
    write_atomically(Path(out) if out is not None else run.folder / "report.html", page.encode())
    return numbers


def _facts(run: FinishedRun, images: int) -> list[tuple[str, str]]:
    report = run.report
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    taught = report.get("teacher_images") or report["train_images"]
    teacher = f" ({taught} for the teacher's)" if taught != report["train_images"] else ""
    facts = [
        ("network", run.info.model.name),
        ("task", f"{run.info.task}, {len(run.info.labels)} classes"),
        (
            "data",
            f"{report['data']}: {report['train_images']} images for training{teacher}, {report['val_images']} to judge",
        ),
        ("recipe", f"{report['recipe']}, seed {report['seed']}"),
        ("made with", f"{versions}, on {report['machine']['platform']}"),
        ("looked at closely", f"{images} of the images to judge"),
    ]
    return facts + [("warning", warning) for warning in report["warnings"]]


def _distance(run: FinishedRun, packed: PackedStudent | str) -> Section:
    """Every phase beside full precision: figures, bytes, minutes; then the packed file."""
    metrics = run.task.metrics
    judged = [(phase, run.evaluation(phase)) for phase in run.phases]
    reference = next((result for phase, result in judged if phase["phase"] == "teacher"), None)
    rows = []
    for phase, result in judged:
        values = result.metrics()
        file = run.folder / phase["checkpoint"]
        rows.append(
            [
                PHASE_TITLES.get(phase["phase"], phase["phase"]),
                *(f"{values[metric.key]:.2%}" for metric in metrics),
                "" if reference is None or result is reference else _points(result.score - reference.score),
                f"{result.loss:.4f}",
                f"{file.stat().st_size / 1e6:.2f} MB" if file.is_file() else "",
                f"{phase['seconds'] / 60:.1f}, {phase['epochs']} epochs",
            ]
        )
    rows += _packed_rows(run, packed, len(metrics))
    header = ["", *(metric.title for metric in metrics), "from full precision", "loss", "size", "minutes"]
    final = run.evaluation(run.phases[-1])
    n_images = 0 if run.task.is_for_pixels else final.images
    caption = (
        "What each phase reached on the images to judge. "
        + compared(final.score, reference.score if reference else None, n_images, metrics[0].title)
        + _packed_text(packed)
    )
    return Section(
        "distance", "How far from full precision", caption, table=Table(tuple(header), tuple(map(tuple, rows)))
    )


def _packed_rows(run: FinishedRun, packed: PackedStudent | str, n_metrics: int) -> list[list[str]]:
    if isinstance(packed, str):
        return []
    accuracy = packed.agreement.packed_accuracy
    shown = "" if accuracy is None else f"{accuracy:.2%}"
    row = [f"packed file, on {packed.agreement.images} images", shown, *[""] * (n_metrics - 1), "", ""]
    return [[*row, f"{packed.size_bytes / 1e6:.2f} MB", ""]]


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f} points"


def compared(score: float, teacher: float | None, images: int, metric: str) -> str:
    """Say how far the 1-bit network is from full precision, and whether chance may explain it.

    Args:
        score: of the 1-bit network, a share from 0 to 1.
        teacher: of the full-precision one; None if there is none.
        images: that were judged; 0 if what was judged is not images.
        metric: name of the score.
    """
    if teacher is None:
        return "There is no full-precision network in this run to compare with. "
    difference = score - teacher
    text = f"The 1-bit network equals the full-precision one in {metric}"
    if difference:
        where = "below" if difference < 0 else "above"
        text = f"The 1-bit network is {abs(100 * difference):.2f} points {where} the full-precision one in {metric}"
    if not images:
        return text + ". "
    # With one hit and one miss more (Laplace), so that few images that are all right are not taken for certainty.
    shares = [(value * images + 1) / (images + 2) for value in (score, teacher)]
    error = float(np.sqrt(sum(share * (1 - share) for share in shares) / images))
    sure = "more than chance would do" if abs(difference) > 2 * error else "no more than chance may do"
    return (
        f"{text}; with {images} images the standard error of a difference is at most {100 * error:.2f} points: {sure}. "
    )


def _packed_text(packed: PackedStudent | str) -> str:
    if isinstance(packed, str):
        return f"The network cannot be packed: {packed}."
    same = packed.agreement.identical_predictions
    agreement = "" if same is None else f"Packed, it decides as its checkpoint does in {same:.2%} of the cases. "
    times = ", ".join(f"{timing.name} {timing.median_ms:.2f} ms" for timing in packed.timings)
    return f"{agreement}One image on one thread of this machine, median: {times}."


def _packed_numbers(packed: PackedStudent) -> dict[str, Any]:
    return {
        "size_bytes": packed.size_bytes,
        "agreement": packed.agreement.as_dict(),
        "median_ms": {timing.name: timing.median_ms for timing in packed.timings},
    }


def _curves(run: FinishedRun) -> Section:
    title = "Loss over training"
    try:
        curves = {run.name: read_curves(run.folder)}
    except UsageError as error:
        return Section("curves", title, f"No curves: {error}.")
    return Section("curves", title, captions.curves_caption(curves), drawing.draw_curves(curves))


def _confusion(run: FinishedRun) -> list[Section]:
    result = run.evaluation(run.phases[-1])
    drawn = run.task.figures(result, run.classes)
    sections = [
        Section(
            Path(name).stem, "Which class is taken for which", "Rows are what is right, columns what was said.", png
        )
        for name, png in drawn.items()
    ]
    rows = tuple(result.class_rows())
    if rows:
        title, caption = "Class by class", "On the images to judge."
        sections.append(Section("classes", title, caption, table=Table(("class", "figure"), rows)))
    return sections


def _worst(run: FinishedRun, images: ImageSet, worst: Sequence[WorstImage]) -> Section:
    shown = worst[: 6 if run.task.draws_examples else _MOST_DRAWN]
    rows = tuple(
        (
            item.name,
            item.target,
            item.answer,
            "" if item.confidence is None else f"{item.confidence:.1%}",
            f"{item.loss:.3f}",
        )
        for item in worst
    )
    caption = f"Of {len(images)} images those with the largest loss. Look at their labels first: some may be wrong."
    table = Table(("image", "is", "said", "sure", "loss"), rows)
    return Section("worst", "The worst images", caption, draw_worst(run, images, shown), table)


def _maps(run: FinishedRun, images: ImageSet, count: int) -> Section:
    title = "Where the network looks"
    if not is_binary(run.student) or is_comparison_only(run.student) or not attention_layers(run.student):
        return Section("maps", title, "The network has no binary attention to show.")
    inspected: InspectedRun = open_run(run.folder, images, count)
    try:
        with torch.inference_mode():
            found = attention_maps(inspected, count)
    except UsageError as error:
        return Section("maps", title, f"No attention maps: {error}.")
    labels = [run.task.describe_target(target, run.classes) for target in inspected.targets]
    return Section(
        "maps", title, captions.maps_caption(found), drawing.draw_maps(found, inspected.pixels.numpy(), labels)
    )

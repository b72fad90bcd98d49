"""A study's table: Markdown to read, CSV to compute with."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from bitvit.studies.summary import SMALLEST_DIFFERENCE, Spread, Summary

__all__ = ["csv_table", "markdown_report", "table_cells"]


def table_cells(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table as text; columns without any entry are left out."""
    study = summary.study
    own = list(dict.fromkeys(name for row in study.rows for name in row.columns))
    header = ["method" if len(study.rows) > 1 or not study.axes else "", *own, *(axis.title for axis in study.axes)]
    header += [
        f"{summary.metric.title} (%)",
        "paper (%)",
        "packed (%)",
        "agreement (%)",
        "training images (%)",
        "bytes",
        "MOPs",
    ]
    header += ["minutes", "seeds"]
    rows = [
        [
            line.row.title,
            *(_mark(line.row.columns.get(name)) for name in own),
            *(str(line.point[axis.name]) for axis in study.axes),
            _pm(line.spread(line.metric.key, 100)),
            "" if line.paper is None else f"{line.paper:.2f}",
            _pm(line.spread(f"packed_{line.metric.key}", 100)),
            _mean(line.spread("agreement", 100), "{:.2f}"),
            _pm(line.spread(f"train_{line.metric.key}", 100), 1),
            _mean(line.spread("bytes"), "{:,.0f}"),
            _mean(line.spread("ops", 1e-6), "{:.2f}"),
            _mean(line.spread("train_seconds", 1 / 60), "{:.1f}"),
            str(len(line.records)),
        ]
        for line in summary.lines
    ]
    kept = [i for i, name in enumerate(header) if name and any(row[i] for row in rows)]
    return [header[i] for i in kept], [[row[i] for i in kept] for row in rows]


def markdown_report(summary: Summary, command: str, figure: str) -> str:
    """Return the whole report as Markdown: table, differences, and in the footer hardware, date and command."""
    study = summary.study
    header, rows = table_cells(summary)
    parts = [f"# {study.title}", ""]
    if study.reproduces:
        parts += [f"Reproduces: {study.reproduces}.", ""]
    parts += [*_markdown(header, rows), ""]
    parts += [
        f"{summary.metric.title} on the test images, mean ± standard error over seeds; packed: the packed file in the "
        "engine; agreement: test images on which file and checkpoint decide alike; training images: the same metric "
        "on the images and labels of training, wrong labels included, without augmentation; bytes: of the packed "
        "file, or of a full-precision network's weights; MOPs: operations per image (`docs/complexity.md`); minutes: "
        "wall-clock time of a run's training.",
        "",
    ]
    if summary.differences:
        gaps = [
            [
                f"{gap.first.row.title} - {gap.second.row.title}",
                *(str(gap.first.point[axis.name]) for axis in study.axes),
                _pm(gap.spread),
                str(gap.spread.count),
            ]
            for gap in summary.differences
        ]
        head = [
            "difference",
            *(axis.title for axis in study.axes),
            f"points of {summary.metric.title}, paired by seed",
            "seeds",
        ]
        parts += [*_markdown(head, gaps), ""]
    if summary.claims:
        verdicts = [
            [
                claim.text,
                *(str(claim.difference.first.point[axis.name]) for axis in study.axes),
                _pm(claim.difference.spread),
                str(claim.difference.spread.count),
                claim.verdict,
            ]
            for claim in summary.claims
        ]
        head = ["claim", *(axis.title for axis in study.axes), "points, paired by seed", "seeds", "verdict"]
        parts += [*_markdown(head, verdicts), ""]
        parts += [
            "Holds: the mean difference is more than two standard errors above 0. Does not hold: more than two below, "
            f"or surely within {SMALLEST_DIFFERENCE} points of 0. Cannot be told: neither, or fewer than three seeds.",
            "",
        ]
    parts += [f"![{study.title}]({figure})", ""]
    if study.note:
        parts += [study.note.strip(), ""]
    parts += [*_footer(summary, command), ""]
    return "\n".join(parts)


def csv_table(summary: Summary) -> str:
    """Return one line for each run, with all of its figures."""
    text = io.StringIO()
    axes = [axis.name for axis in summary.study.axes]
    metrics = [metric.key for metric in summary.metrics]
    key, others = metrics[0], [name for name in metrics[1:] if any(name in record for record in summary.records)]
    plain = [
        key, f"packed_{key}", "agreement", *others, "test_loss", "train_loss", f"train_{key}", "bytes", "ops",
        "parameters", "train_seconds", "seconds", "cpu_seconds", "digest", "date",
    ]  # fmt: skip
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *axes, "seed", *plain, f"teacher_{key}", "cpu"])
    for line in summary.lines:
        for record in line.records:
            teacher = (record.get("teacher") or {}).get(key)
            cpu = (record.get("machine") or {}).get("cpu")
            figures = [_number(record.get(key)) for key in plain]
            point = [line.point[name] for name in axes]
            writer.writerow([line.row.name, *point, record["seed"], *figures, _number(teacher), cpu])
    return text.getvalue()


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def cells(row: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"

    return [cells(header), "|" + "---|" * len(header), *map(cells, rows)]


def _footer(summary: Summary, command: str) -> list[str]:
    records = summary.records
    missing = sum(not line.records for line in summary.lines)
    made = f"{len(records)} runs" + (f"; {missing} of {len(summary.lines)} lines have none yet" if missing else "")
    origins = [str(record["taken_from"]).partition("/")[0] for record in records if record.get("taken_from")]
    if origins:
        made += f" ({len(origins)} of them made for {' and '.join(sorted(set(origins)))})"
    machines = sorted({_machine(record) for record in records})
    dates = sorted({str(record.get("date")) for record in records})
    minutes = sum(float(record.get("train_seconds") or 0) for record in records) / 60
    lines = [
        f"{made}, {minutes:.0f} minutes of training in all. {_numbers(records, 'train_images')} training and "
        f"{_numbers(records, 'test_images')} test images."
    ]
    kinds = sorted({_kind(record["teacher"]) for record in records if record.get("teacher")})
    for model, images in kinds:
        seen = f"{images:,} images" if images else "the same images"
        score = f"{summary.metric.title} {_teachers(summary, (model, images))}"
        lines.append(f"Teacher ({model}, full precision, {seen}): {score}.")
    lines.append(f"Hardware: {'; '.join(machines) or 'none yet'}. Date: {' to '.join(dates[:1] + dates[1:][-1:])}.")
    lines += [f"Command: `{command}`."]
    return ["  \n".join(lines)]


def _numbers(records: Sequence[dict[str, Any]], key: str) -> str:
    numbers = [str(number) for number in sorted({record[key] for record in records if key in record})]
    return " or ".join([", ".join(numbers[:-1]), numbers[-1]] if len(numbers) > 1 else numbers)


def _kind(teacher: dict[str, Any]) -> tuple[str, int]:
    """Return a teacher's model and number of training images, 0 where they are the student's."""
    return teacher["model"], teacher.get("images") or 0


def _teachers(summary: Summary, kind: tuple[str, int]) -> str:
    """Return the accuracy over seeds of teachers of a kind; at each point by itself where it differs between points."""
    at: dict[str, dict[str, float]] = {}  # point -> digest -> metric
    for line in summary.lines:
        place = ", ".join(f"{axis.title} {line.point[axis.name]}" for axis in summary.study.axes)
        for record in line.records:
            if record.get("teacher") and _kind(record["teacher"]) == kind:
                at.setdefault(place, {})[record["teacher"]["digest"]] = 100 * record["teacher"][line.metric.key]
    if all(teachers.keys() == next(iter(at.values())).keys() for teachers in at.values()):
        at = {"": next(iter(at.values()))}
    return ", ".join(
        f"{_pm(Spread.of(list(teachers.values())))} %" + (f" ({place})" if place else "")
        for place, teachers in at.items()
    )


def _machine(record: dict[str, Any]) -> str:
    machine, versions = record.get("machine") or {}, record.get("versions") or {}
    threads = machine.get("threads")
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    gpu = f"{machine['gpu']} with " if "gpu" in machine else ""
    return f"{gpu}{machine.get('cpu')}, {threads} thread{'s' if threads != 1 else ''} ({used})"


def _mark(value: Any) -> str:
    if value is None or value is False:
        return ""
    return "✓" if value is True else str(value)


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _mean(spread: Spread | None, form: str) -> str:
    return "" if spread is None else form.format(spread.mean)


def _pm(spread: Spread | None, digits: int = 2) -> str:
    if spread is None:
        return ""
    error = "" if spread.error is None else f" ± {spread.error:.{digits}f}"
    return f"{spread.mean:.{digits}f}{error}"

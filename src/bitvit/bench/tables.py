"""Tables of `docs/performance.md` from what `bitvit bench --json` prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bitvit.bench.baselines import BASELINES

_MB = 1e6


def markdown(documents: Sequence[dict[str, Any]], date: str, command: str) -> str:
    """Return Markdown tables of several models' measurements.

    Args:
        documents: one for each model.
        date: of the measurement.
        command: what was run.
    """
    first = documents[0]
    parts = [
        f"{first['machine']['cpu']} ({first['isa']}), {date}, `{command}`; batch {first['batch']}, "
        f"{first['threads']} thread(s), random weights, medians of {first['results'][0]['rounds']} rounds.",
        _latency(documents),
        *_details(documents),
    ]
    if any("memory" in document for document in documents):
        parts.append(_memory(documents))
    if any("scaling" in document for document in documents):
        parts += _scaling(documents)
    return "\n\n".join(parts)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _latency(documents: Sequence[dict[str, Any]]) -> str:
    """Milliseconds per image, one row per model."""
    rows = []
    for document in documents:
        medians = {result["name"]: result["median_ms"] / document["batch"] for result in document["results"]}
        own = next(iter(medians.values()))
        cells = [f"{medians[name]:.1f} ({medians[name] / own:.1f}x)" if name in medians else "-" for name in BASELINES]
        rows.append([f"`{document['name']}`", f"{own:.2f}", *cells])
    return _table(["ms per image", "bitvit", *BASELINES], rows)


def _details(documents: Sequence[dict[str, Any]]) -> list[str]:
    """What each contender really ran, its quartiles, and who is missing."""
    parts = []
    for document in documents:
        batch = document["batch"]
        rows = [
            [
                result["name"],
                f"{result['median_ms'] / batch:.2f}",
                f"{result['quartile_ms'] / batch:.2f} to {result['third_quartile_ms'] / batch:.2f}",
                result["precision"],
                "" if result["agreement"] is None else f"{result['agreement']:.4f}",
            ]
            for result in document["results"]
        ]
        rows += [[name, "-", "", f"not measured: {reason}", ""] for name, reason in document["missing"].items()]
        columns = [f"`{document['name']}`", "median ms", "quartiles", "arithmetic", "cosine with PyTorch"]
        parts.append(_table(columns, rows))
    return parts


def _memory(documents: Sequence[dict[str, Any]]) -> str:
    rows = []
    for document in documents:
        memory = document.get("memory")
        if memory is None:
            continue
        sizes = [memory[f"{key}_bytes"] / _MB for key in ("file", "weight", "arena", "imports_peak", "process_peak")]
        times = [memory[f"{key}_ms"] for key in ("import", "load", "load_to_first_answer")]
        rows.append([f"`{document['name']}`", *(f"{size:.1f}" for size in sizes), *(f"{time:.0f}" for time in times)])
    columns = [
        "MB and ms",
        "file",
        "weights",
        "arena",
        "after imports",
        "process peak",
        "imports",
        "load",
        "to first answer",
    ]
    return _table(columns, rows)


def _scaling(documents: Sequence[dict[str, Any]]) -> list[str]:
    kinds: dict[str, tuple[str, str, Callable[[dict[str, Any]], str]]] = {
        "threads": ("threads", "speed against one thread", lambda row: f"{row['speedup']:.2f}x"),
        "batch": ("batch", "ms per image", lambda row: f"{row['ms_per_image']:.2f}"),
        "size": (
            "size",
            "time (operations) against the smallest image",
            lambda row: f"{row['time_ratio']:.2f}x ({row['operations_ratio']:.2f}x)",
        ),
    }
    parts = []
    for kind, (key, title, cell) in kinds.items():
        rows = {document["name"]: document.get("scaling", {}).get(kind, []) for document in documents}
        values = sorted({row[key] for found in rows.values() for row in found})
        if values:
            body = [
                [f"`{name}`", *({row[key]: cell(row) for row in found}.get(value, "-") for value in values)]
                for name, found in rows.items()
            ]
            parts.append(_table([f"{title}, by {kind}", *map(str, values)], body))
    return parts

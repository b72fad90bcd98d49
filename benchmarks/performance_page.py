"""Make the tables of docs/performance.md from the JSON files of docs/performance/, one a machine.

python benchmarks/performance_page.py            # writes the page
python benchmarks/performance_page.py --check    # fails where page and files differ; a test runs this

The page marks each table: `<!-- table: FILE PART -->` before and `<!-- end -->` behind it. Parts of a file:
`networks` (milliseconds per image by model and engine; `--networks` stores what `benchmarks/latency.py --json`
printed), `operators`, `threads_before` (from measurements of the past), and `threads`, `distance`, `callers`,
`batch` (from `benchmarks/threads.py --store`).
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitvit.bench.baselines import BASELINES
from bitvit.files import write_atomically

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "performance.md"
_TABLE = re.compile(r"(<!-- table: (?P<file>[\w.-]+) (?P<part>\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render(page: str, folder: Path) -> str:
    """Return the page with every marked table made anew."""

    def table(match: re.Match[str]) -> str:
        stored = json.loads((folder / match["file"]).read_text("utf-8"))
        return f"{match[1]}{PARTS[match['part']](stored)}\n{match[4]}"

    return _TABLE.sub(table, page)


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.2f}"


def _networks(stored: dict[str, Any]) -> str:
    """Milliseconds per image, and how many times less bitvit takes."""
    part = stored["networks"]
    rows = []
    for model, times in part["models"].items():
        own = times["bitvit"]
        cells = [
            f"{_number(times[name])} ({times[name] / own:.1f}x)" if name in times else "-" for name in part["engines"]
        ]
        rows.append([f"`{model}`", _number(own), *cells])
    return _markdown([f"{part['statistic']} ms per image", "bitvit", *part["engines"]], rows)


def _operators(stored: dict[str, Any]) -> str:
    part = stored["operators"]
    rows = [[name, *(_number(value) for value in values)] for name, values in part["rows"].items()]
    return _markdown([f"{part['statistic']} ms per image", *part["columns"]], rows)


def _threads_before(stored: dict[str, Any]) -> str:
    part = stored["threads_before"]
    rows = [[str(row["busy"]), str(row["threads"]), _number(row["ms"])] for row in part["rows"]]
    return _markdown(["busy neighbours", "threads", f"{part['statistic']} ms per image"], rows)


def _threads(stored: dict[str, Any]) -> str:
    """One thread and all, beside busy processes."""
    rows = []
    for model, found in stored["threads"]["models"].items():
        by_busy: dict[int, list[dict[str, Any]]] = {}
        for row in found["neighbours"]:
            by_busy.setdefault(row["busy"], []).append(row)
        for busy, (one, many) in by_busy.items():
            cells = [f"{one[key]:.2f}, {many[key]:.2f} ({many[key] / one[key]:.2f}x)" for key in _STATISTICS]
            rows.append([f"`{model}`", str(busy), str(many["threads"]), *cells])
    return _markdown(["ms per image: 1 thread, all threads", "busy neighbours", "all", "least", "median", "mean"], rows)


_STATISTICS = ("fastest_ms", "median_ms", "mean_ms")


def _distance(stored: dict[str, Any]) -> str:
    """One thread and all, by whether the processors share a cache."""
    rows = []
    for model, found in stored["threads"]["models"].items():
        for row in found["distance"]:
            cells = [
                f"{one:.2f}, {many:.2f} ({one / many:.2f}x)" for one, many in (row["fastest_ms"], row["median_ms"])
            ]
            near = f"{'yes' if row['shares_cache'] else 'no'} ({row['exchange_ns']:.0f} ns)"
            rows.append([f"`{model}`", near, str(row["threads"]), str(row["turns"]), *cells])
    return _markdown(
        ["ms per image: 1 thread, all threads (speed-up)", "one cache", "all", "turns", "least", "median"], rows
    )


def _callers(stored: dict[str, Any]) -> str:
    rows = []
    for model, found in stored["threads"]["models"].items():
        callers = found["callers"]
        one, many = callers["images_per_s"]["1"], callers["images_per_s"][str(callers["callers"])]
        rows.append([f"`{model}`", f"{one:.0f}", f"{many:.0f}", f"{callers['gain']:.2f}x"])
    return _markdown(["images/s of one model, one thread a call", "1 caller", "8 callers", "gain"], rows)


def _batch(stored: dict[str, Any]) -> str:
    rows = []
    for model, found in stored["threads"]["models"].items():
        batch = found["batch"]
        one, many = batch["fastest_ms_per_image"]["1"], batch["fastest_ms_per_image"][str(batch["batch"])]
        rows.append([f"`{model}`", f"{one:.3f}", f"{many:.3f}", f"{batch['gain']:.2f}x"])
    return _markdown(["least ms per image, one thread", "batch 1", "batch 8", "gain"], rows)


PARTS = {
    "networks": _networks,
    "operators": _operators,
    "threads_before": _threads_before,
    "threads": _threads,
    "distance": _distance,
    "callers": _callers,
    "batch": _batch,
}


def networks_of(documents: Sequence[dict[str, Any]], command: str) -> dict[str, Any]:
    """Return the part `networks` of what `bitvit bench --json` printed for several models."""
    models: dict[str, dict[str, float]] = {}
    for document in documents:
        own, *others = document["results"]
        times = {"bitvit": own["median_ms"], **{other["name"]: other["median_ms"] for other in others}}
        models[document["name"]] = {name: time / document["batch"] for name, time in times.items()}
    engines = [name for name in BASELINES if any(name in times for times in models.values())]
    return {"command": command, "statistic": "median", "engines": engines, "models": models}


def main() -> int:
    """Write or check the page, or store measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare; 1 where they differ")
    parser.add_argument("--networks", type=Path, metavar="JSON", help="what benchmarks/latency.py --json printed")
    parser.add_argument("--store", type=Path, metavar="JSON", help="the machine's file, for --networks")
    parser.add_argument("--title", default="", help="the machine's name, for --networks")
    arguments = parser.parse_args()
    if arguments.networks is not None:
        if arguments.store is None:
            parser.error("--networks needs --store")
        documents = json.loads(arguments.networks.read_text("utf-8"))
        stored = json.loads(arguments.store.read_text("utf-8")) if arguments.store.exists() else {}
        stored["title"] = arguments.title or stored.get("title") or documents[0]["machine"]["cpu"]
        stored["date"] = datetime.date.today().isoformat()
        stored["networks"] = networks_of(documents, "python benchmarks/latency.py --json")
        write_atomically(arguments.store, (json.dumps(stored, indent=1) + "\n").encode())
    page = PAGE.read_text("utf-8")
    made = render(page, DOCS / "performance")
    if arguments.check:
        if made != page:
            print(
                f"{PAGE}: not what docs/performance/ says; run python benchmarks/performance_page.py", file=sys.stderr
            )
        return int(made != page)
    write_atomically(PAGE, made.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A run of `bitvit bench` beside a stored one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bitvit.errors import UsageError

_SAME = ("name", "batch", "threads", "image_size")


def read_stored(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a file that `bitvit bench --json` or `benchmarks/latency.py --json` wrote.

    Raises:
        UsageError: the file cannot be read or is something else.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        raise UsageError(f"{path}: this is not JSON; give a file that `bitvit bench --json` wrote") from None
    documents = content if isinstance(content, list) else [content]
    for document in documents:
        results = document.get("results") if isinstance(document, dict) else None
        if not isinstance(results, list) or not all(_is_result(result) for result in results):
            raise UsageError(f"{path}: these are no results of `bitvit bench --json`")
    return documents


def _is_result(result: object) -> bool:
    return isinstance(result, dict) and all(
        isinstance(result.get(key), kind)
        for key, kind in (("name", str), ("median_ms", (int, float)), ("fastest_ms", (int, float)))
    )


def compare(document: dict[str, Any], stored: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """Compare a run with the stored one of the same network, batch, threads and image size.

    Returns:
        `file`, `differs` (what else is not the same: key -> [stored, now]), and `results`, one for each engine of
        both: `name`, `fastest_ratio` and `median_ratio` (now / stored; below 1 is faster now).

    Raises:
        UsageError: there is no such run.
    """
    matching = [old for old in stored if all(old.get(key) == document[key] for key in _SAME)]
    if not matching:
        wanted = ", ".join(f"{key} {document[key]}" for key in _SAME)
        raise UsageError(f"{path}: no run with {wanted}; it has {len(stored)} other(s)")
    old = matching[-1]
    olds = {result["name"]: result for result in old["results"]}
    facts = {
        "cpu": (old.get("machine", {}).get("cpu"), document["machine"]["cpu"]),
        "isa": (old.get("isa"), document["isa"]),
        "busy": (old.get("busy", 0), document.get("busy", 0)),
    }
    return {
        "file": str(path),
        "differs": {key: list(pair) for key, pair in facts.items() if pair[0] != pair[1]},
        "results": [
            {
                "name": result["name"],
                "fastest_ratio": result["fastest_ms"] / olds[result["name"]]["fastest_ms"],
                "median_ratio": result["median_ms"] / olds[result["name"]]["median_ms"],
            }
            for result in document["results"]
            if result["name"] in olds
        ],
    }

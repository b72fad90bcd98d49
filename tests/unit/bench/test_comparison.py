"""A run beside a stored one: what is compared, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bitvit.bench.comparison import compare, read_stored
from bitvit.errors import UsageError


def _document(**times: float) -> dict[str, Any]:
    return {
        "name": "x",
        "batch": 1,
        "threads": 2,
        "image_size": [4, 4],
        "isa": "avx2",
        "busy": 0,
        "machine": {"cpu": "Abacus"},
        "results": [{"name": name, "fastest_ms": ms, "median_ms": 2 * ms} for name, ms in times.items()],
    }


def test_ratios_of_engines_in_both(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(_document(own=2.0, other=3.0)))
    found = compare(_document(own=1.0, third=5.0), read_stored(path), path)
    assert found["results"] == [{"name": "own", "fastest_ratio": 0.5, "median_ratio": 0.5}]
    assert found["differs"] == {}


def test_what_differs_besides_is_told(tmp_path: Path) -> None:
    old = {**_document(own=1.0), "isa": "avx512", "machine": {"cpu": "Slide rule"}, "busy": 1}
    found = compare(_document(own=1.0), [old], tmp_path)
    assert found["differs"] == {"cpu": ["Slide rule", "Abacus"], "isa": ["avx512", "avx2"], "busy": [1, 0]}


@pytest.mark.parametrize("key", ["name", "batch", "threads", "image_size"])
def test_another_run_is_not_compared(key: str) -> None:
    with pytest.raises(UsageError, match="no run with"):
        compare(_document(own=1.0), [{**_document(own=1.0), key: "other"}], Path("old.json"))


@pytest.mark.parametrize(
    "text", ["", "{", "3", "[3]", "{}", '{"results": 1}', '{"results": [{"name": "x"}]}', '{"results": [[]]}']
)
def test_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"old\.json"):
        read_stored(path)
    with pytest.raises(UsageError, match="no such file"):
        read_stored(tmp_path / "nowhere.json")

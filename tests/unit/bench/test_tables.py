"""Markdown tables: one row per model, one column per baseline, missing ones as dashes."""

from __future__ import annotations

from typing import Any

from bitvit.bench.tables import markdown


def _document(name: str, **more: Any) -> dict[str, Any]:
    def result(engine: str, median: float) -> dict[str, Any]:
        return {
            "name": engine,
            "median_ms": median,
            "quartile_ms": median - 1,
            "third_quartile_ms": median + 1,
            "rounds": 7,
            "precision": "fp32",
            "agreement": 0.5,
        }

    return {
        "name": name,
        "isa": "avx2",
        "machine": {"cpu": "Abacus"},
        "batch": 2,
        "threads": 1,
        "results": [result("bitvit 1-bit", 8.0), result("PyTorch fp32", 48.0)],
        "missing": {"OpenVINO bf16": "not asked for"},
        **more,
    }


def test_latency_rows() -> None:
    text = markdown([_document("a"), _document("b")], date="2026-11-21", command="python x.py")
    assert "Abacus (avx2), 2026-11-21, `python x.py`; batch 2, 1 thread(s)" in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows[0] == "| `a` | 4.00 | 24.0 (6.0x) | - | - | - | - | - | - |"
    assert "| OpenVINO bf16 | - |  | not measured: not asked for |  |" in text


def test_scaling_rows_of_models_with_different_sizes() -> None:
    def sized(*sizes: int) -> dict[str, Any]:
        rows = [{"size": size, "time_ratio": 2.0, "operations_ratio": 3.0} for size in sizes]
        return {"scaling": {"threads": [], "batch": [], "size": rows}}

    text = markdown([_document("a", **sized(224, 320)), _document("b", **sized(224))], date="d", command="c")
    assert "| `a` | 2.00x (3.00x) | 2.00x (3.00x) |" in text
    assert "| `b` | 2.00x (3.00x) | - |" in text

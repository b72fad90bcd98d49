"""The file of results, and claims on runs."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from bitvit.errors import OutputError
from bitvit.studies import parse_study, plan_study, results_of
from tests.support.tiny_study import record_of

RUNS = plan_study(parse_study("title: Mine\nrows: [{name: a}, {name: b}]", "mine"), [0, 1])


def test_results_come_back_in_order(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    assert results.read() == []
    records = [record_of(run) for run in RUNS]
    for record in records:
        results.append(record)
    assert results.read() == records
    assert results.find(RUNS[2]) == records[2]


@pytest.mark.parametrize("cut", [1, 20, -3])
def test_a_torn_last_line_is_ignored_and_harms_no_later_one(tmp_path: Path, cut: int) -> None:
    results = results_of(tmp_path)
    results.append(record_of(RUNS[0]))
    torn = json.dumps(record_of(RUNS[1])).encode()[:cut]
    with results.path.open("ab") as file:
        file.write(torn)
    assert results.read() == [record_of(RUNS[0])]
    results.append(record_of(RUNS[2]))
    assert results.read() == [record_of(RUNS[0]), record_of(RUNS[2])]


def test_lines_that_are_no_results_are_ignored(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    whole = json.dumps(record_of(RUNS[0])).encode()
    results.path.write_bytes(b"\xff\xfe\n[]\n3\n{}\n\n" + whole + b"\n" + whole.replace(b"0.5", b'"0.5"') + b"\n")
    assert results.read() == [record_of(RUNS[0])]


def test_a_result_counts_only_for_the_same_run_seed_and_recipe(tmp_path: Path) -> None:
    results = results_of(tmp_path)
    results.append(record_of(RUNS[0], digest="0" * 16))
    results.append(record_of(RUNS[0], seed=7))
    results.append(record_of(RUNS[0]) | {"run": "other"})
    assert results.find(RUNS[0]) is None


def test_lines_added_at_once_stay_whole(tmp_path: Path) -> None:
    results = results_of(tmp_path)

    def add(count: int) -> None:
        for i in range(count):
            results.append(record_of(RUNS[0], note=f"{threading.get_ident()} {i}" * 50))

    threads = [threading.Thread(target=add, args=(20,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results.read()) == 80


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"results\.jsonl"):
        results_of(tmp_path / "nowhere").append(record_of(RUNS[0]))

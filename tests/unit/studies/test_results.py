"""The file of results, and claims on runs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bitvit.errors import OutputError
from bitvit.studies import parse_study, plan_study, results_of
from bitvit.studies.claim import claim
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
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError), claim(tmp_path / "file" / "lock"):
        pass


def test_a_claim_is_exclusive_and_ends_with_the_context(tmp_path: Path) -> None:
    with claim(tmp_path / "locks" / "run") as first:
        assert first
        with claim(tmp_path / "locks" / "run") as second, claim(tmp_path / "locks" / "other") as other:
            assert not second and other
    with claim(tmp_path / "locks" / "run") as third:
        assert third


HOLD = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    """The other process takes the lock as `claim` does, but need not import PyTorch for it."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with claim(tmp_path / "run") as while_alive:
            assert not while_alive
        process.kill()
    with claim(tmp_path / "run") as afterwards:
        assert afterwards


def test_a_claim_can_wait(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with claim(tmp_path / "run", wait=True) as is_ours:
            order.append(("second", is_ours))

    with claim(tmp_path / "run"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append(("first", True))
    thread.join()
    assert order == [("first", True), ("second", True)]

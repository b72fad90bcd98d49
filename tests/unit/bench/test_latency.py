"""Interleaved timing: order and statistics, without looking at a clock."""

from __future__ import annotations

import pytest

from bitvit.bench import latency
from bitvit.bench.latency import Contender, measure


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that only moves when told to, in milliseconds."""
    now = [0.0]
    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: round(now[0] * 1e6))
    monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0] / 1e3)
    return now


def _taking(clock: list[float], durations: list[float], log: list[str], name: str) -> Contender:
    runs = iter(durations)

    def run() -> None:
        clock[0] += next(runs)
        log.append(name)

    return Contender(name, run, size_bytes=5)


def test_contenders_take_turns_and_warm_up_is_not_counted(clock: list[float]) -> None:
    log: list[str] = []
    contenders = [
        _taking(clock, [100, 100, 1, 2, 3, 4, 90], log, "a"),
        _taking(clock, [100, 100, 10, 10, 10, 10, 10], log, "b"),
    ]
    first, second = measure(contenders, rounds=5)
    assert log == ["a", "a", "b", "b"] + ["a", "b"] * 5
    assert (first.median_ms, first.fastest_ms, first.quartile_ms, first.third_quartile_ms) == (3, 1, 2, 4)
    assert (second.median_ms, second.rounds, second.size_bytes) == (10, 5, 5)


def test_a_turn_can_be_a_block_of_runs(clock: list[float]) -> None:
    log: list[str] = []
    contenders = [_taking(clock, [float(i) for i in range(99)], log, name) for name in "ab"]
    first, _ = measure(contenders, rounds=3, block=2)
    assert log == list("aabb") + list("aabb") * 3
    assert (first.fastest_ms, first.rounds) == (2, 6)


def test_the_time_limit_stops_after_three_rounds(clock: list[float]) -> None:
    (timing,) = measure([_taking(clock, [1000.0] * 99, [], "slow")], rounds=50, seconds=0.5)
    assert timing.rounds == 3


def test_machine_names_the_processor() -> None:
    assert all(latency.machine().values())

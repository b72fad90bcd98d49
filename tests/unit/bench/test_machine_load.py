"""How busy the machine was, and neighbours on purpose: counted, not timed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from typing import Any

import pytest

from bitvit.bench import machine_load
from bitvit.bench.machine_load import LoadWatch, MachineLoad, busy_neighbours, describe_load


def test_time_of_others_and_of_the_hypervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, own, everybody = iter([100.0, 110.0]), iter([1.0, 6.0]), iter([(50.0, 2.0), (70.0, 5.0)])
    monkeypatch.setattr(machine_load.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(machine_load, "_own_seconds", lambda: next(own))
    monkeypatch.setattr(machine_load, "_all_seconds", lambda: next(everybody))
    load = LoadWatch().read()
    assert (load.seconds, load.own, load.others, load.steal) == (10.0, 0.5, 1.5, 0.3)
    assert load.is_disturbed
    assert "others used 1.50" in describe_load(load.to_dict())


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_load, "_all_seconds", lambda: None)
    load = LoadWatch().read()
    assert (load.others, load.steal) == (None, None)
    silent = dataclasses.replace(load, load_average=None)
    assert not silent.is_disturbed
    assert describe_load(silent.to_dict()) == "this system does not tell how busy it was"


def test_a_quiet_machine_is_not_disturbed() -> None:
    assert not MachineLoad(1.0, 2, 1.0, others=0.01, steal=0.02).is_disturbed


@pytest.mark.parametrize("count", [0, 1, 3])
def test_neighbours_end_with_the_measurement(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def start(*arguments: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments))
        return started[-1]

    monkeypatch.setattr(machine_load.subprocess, "Popen", start)
    with busy_neighbours(count):
        assert all(process.poll() is None for process in started)
    assert len(started) == count
    assert all(process.poll() is not None for process in started)
    for process in started:
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)

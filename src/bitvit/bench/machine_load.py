"""How busy the machine was while something was timed, and neighbours that keep it busy on purpose."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitvit.runtime.engine import default_threads

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
# A neighbour that only computes, and ends with the process that started it.
_NEIGHBOUR = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    for _ in range(10**6): pass"


@dataclass(frozen=True)
class MachineLoad:
    """What else the machine did while something was timed.

    Attributes:
        seconds: how long.
        processors: that this process may use.
        own: processors' worth of time that this process used, 1.0 being one processor all the time.
        others: the same of all other processes, neighbours started on purpose included; None where the system does not
            tell.
        steal: the same that a hypervisor gave to other machines; None where the system does not tell.
        load_average: of the last minute, at the end; None where the system does not tell.
    """

    seconds: float
    processors: int
    own: float
    others: float | None = None
    steal: float | None = None
    load_average: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as plain data for JSON."""
        return asdict(self)

    @property
    def is_disturbed(self) -> bool:
        """Whether others took more than a twentieth of the processors."""
        return (self.others or 0.0) + (self.steal or 0.0) > 0.05 * self.processors


def describe_load(load: dict[str, Any]) -> str:
    """Return one line about `MachineLoad.to_dict`: how far to trust the times."""
    parts = [f"others used {load['others']:.2f}"] if load["others"] is not None else []
    if load["steal"] is not None:
        parts.append(f"the hypervisor took {load['steal']:.2f}")
    if load["load_average"] is not None:
        parts.append(f"load average {load['load_average']:.1f}")
    if not parts:
        return "this system does not tell how busy it was"
    return f"of {load['processors']} processor(s): " + ", ".join(parts)


class LoadWatch:
    """Measures the load between its making and `read`."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._own = _own_seconds()
        self._all = _all_seconds()

    def read(self) -> MachineLoad:
        """Return the load since the start."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        own = _own_seconds() - self._own
        others = steal = None
        if self._all is not None and (now := _all_seconds()) is not None:
            busy, stolen = now[0] - self._all[0], now[1] - self._all[1]
            others, steal = max(busy - own, 0.0) / seconds, max(stolen, 0.0) / seconds
        average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        return MachineLoad(seconds, default_threads(), own / seconds, others, steal, average)


@contextlib.contextmanager
def busy_neighbours(count: int) -> Iterator[None]:
    """Keep `count` processes computing beside this one."""
    processes = [subprocess.Popen([sys.executable, "-S", "-c", _NEIGHBOUR]) for _ in range(count)]
    try:
        if processes:
            time.sleep(0.2)  # until they compute
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system


def _all_seconds() -> tuple[float, float] | None:
    """Seconds that all processors have computed for processes, and that were stolen from them, since the start."""
    try:
        fields = Path("/proc/stat").read_text("ascii").splitlines()[0].split()
        user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) / _TICKS for field in fields[1:9])
    except (OSError, ValueError, IndexError):
        return None
    return user + nice + system + irq + softirq, steal

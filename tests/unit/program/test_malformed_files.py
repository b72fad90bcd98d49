"""Files that ask for too much or for something odd: one verdict from reader, interpreter and engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bitvit import _core
from bitvit.program import Interpreter, read_bytes
from bitvit.runtime import Engine
from tests.support.malformed_files import FILES, GROWING

MOST_MIB = 256


@pytest.mark.parametrize("kind", FILES)
def test_verdict(kind: str) -> None:
    make, expected = FILES[kind]
    data = make()
    if expected is not None:
        with pytest.raises(expected) as caught:
            read_bytes(data)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
        return
    file = read_bytes(data)
    if len(file.program.ops) < 100:
        Interpreter(file.program, file.tensors)
    Engine(file.program, file.tensors, threads=2)


BUILD = """
import resource, sys
from bitvit.program import open_model
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    engine = open_model(sys.argv[1]).engine([], 2)
except Exception as error:
    print(error, file=sys.stderr)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.parametrize("kind", ["300 uses of 1 MB", "8000 values at once", "a million objects", "windows of 63"])
def test_memory(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.bitvit"
    path.write_bytes(FILES[kind][0]())
    run = subprocess.run([sys.executable, "-c", BUILD, str(path)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < MOST_MIB, run.stderr


# The loops of planning look through one group of operators (256 of them at most), or through 2048 values at most.
MOST_STEPS_OF_AN_OPERATOR = 3000


@pytest.mark.parametrize("name", GROWING)
def test_building_takes_steps_in_proportion(name: str) -> None:
    """Counted, not timed: twice the operators take about twice the steps, and none takes more than a constant."""
    make, sizes = GROWING[name]
    steps = []
    for n in sizes:
        model = _core.read_model(make(n))
        steps.append(max(model.engine([], threads).planning_steps for threads in (1, 2)))
        assert steps[-1] <= MOST_STEPS_OF_AN_OPERATOR * model.n_operators, (n, steps)
    assert steps[-1] / steps[-2] <= 1.25 * sizes[-1] / sizes[-2], (sizes, steps)

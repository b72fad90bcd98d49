"""What the fuzzer found (cpp/fuzz/corpus): read or refused in one line, and the engine is the interpreter to the bit.

BITVIT_FUZZ_CORPUS names another folder, such as build/fuzz/corpus after `make fuzz`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bitvit.program import BitvitFile, Interpreter, ProgramError, read_bytes, validate_file
from bitvit.runtime import Engine, available_isas

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("BITVIT_FUZZ_CORPUS", ROOT / "cpp" / "fuzz" / "corpus"))
FILES = sorted(path for path in FOLDER.iterdir() if path.is_file())
PARTS = 16
LARGEST = 2.0**20  # beyond, a number may overflow somewhere and leave the result open (docs/format.md, Arithmetic)


def is_tame(arrays: dict[str, np.ndarray]) -> bool:  # type: ignore[type-arg]
    floats = [array for array in arrays.values() if array.dtype == np.float32]
    return all(bool((np.abs(array) <= LARGEST).all()) for array in floats)


def check(file: BitvitFile, name: str) -> bool:
    """Whether there was something to compare."""
    validate_file(file)
    shape = file.program.values[file.program.input].shape
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    interpreter = Interpreter(file.program, file.tensors)
    with np.errstate(all="ignore"):
        comparable = is_tame(file.tensors) and all(is_tame(interpreter.values(image)) for image in images)
        expected = interpreter.run(images)
    for isa in available_isas():
        for threads in (1, 2):
            found = Engine(file.program, file.tensors, threads=threads, isa=isa).run(images)
            if comparable:
                np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32), f"{name}: {isa}")
    return comparable


def test_there_is_a_corpus() -> None:
    assert len(FILES) >= 50
    if "BITVIT_FUZZ_CORPUS" not in os.environ:
        assert sum(path.stat().st_size for path in FILES) < 1_000_000


@pytest.mark.parametrize("part", range(PARTS))
def test_engine_is_the_interpreter_on_the_corpus(part: int) -> None:
    n_read = n_compared = 0
    for path in FILES[part::PARTS]:
        refusal = None
        try:
            file = read_bytes(path.read_bytes())
        except ProgramError as error:
            refusal = str(error)
        if refusal is not None:
            assert refusal.isprintable(), path.name
            continue
        n_read += 1
        n_compared += check(file, path.name)
    print(f"{n_read} files read, {n_compared} compared")


def test_a_short_run_of_the_fuzzer(tmp_path: Path) -> None:
    """Only where `make fuzz` has built it: the build takes minutes."""
    target = ROOT / "build" / "fuzz" / "engine_fuzz"
    if not target.exists():
        pytest.skip("the fuzz targets are not built: `make fuzz` builds them (needs clang)")
    for file in FILES[:20]:
        shutil.copy(file, tmp_path / file.name)
    command = [
        str(target),
        "-runs=300",
        "-seed=1",
        "-rss_limit_mb=1024",
        "-max_len=20000",
        "-artifact_prefix=/dev/null",
    ]
    run = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, errors="replace", timeout=600)
    assert run.returncode == 0, run.stderr[-3000:]

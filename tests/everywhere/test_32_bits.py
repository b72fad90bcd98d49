"""Where `size_t` has 32 bits, the same files are refused for the same reason, and the others give the same answer.

Run by ``make test-everywhere``. WebAssembly has 32 bits too: `test_one_answer.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bitvit import _core
from bitvit.program import ProgramError
from tests.support.malformed_files import FILES
from tests.support.native_builds import ROOT, built, fnv1a, require, run

pytestmark = pytest.mark.everywhere

CORPUS = ROOT / "cpp" / "fuzz" / "corpus"


def verdict_here(data: bytes) -> str:
    """What `tests/cpp/verdicts.cc` prints."""
    try:
        model = _core.read_model(data)
    except ProgramError as error:
        return f"{type(error).__name__} {error}"
    program = json.loads(model.metadata()["program"])
    shape = program["values"][program["input"]]["shape"]
    image = (31 * np.arange(np.prod(shape)) & 255).astype(np.uint8).reshape(1, *shape)
    (output,) = model.engine([], 1, "portable").run([image])
    return f"ok {fnv1a(output.tobytes())}"


def test_files_on_32_bits(tmp_path: Path) -> None:
    require("arm-linux-gnueabihf-g++", "qemu-arm")
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'cpp/arm-linux-gnueabihf.cmake'}"
    quickly = ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS=-O1"]
    program = (
        built("arm32", toolchain, *quickly, "-DBITVIT_TESTS=ON", "-DBITVIT_WERROR=ON", target="verdicts") / "verdicts"
    )
    paths = sorted(CORPUS.iterdir())
    for number, (make, _) in enumerate(FILES.values()):
        paths.append(tmp_path / f"{number}.bitvit")
        paths[-1].write_bytes(make())
    found = run(["qemu-arm", "-L", "/usr/arm-linux-gnueabihf", program, *paths], errors="replace").splitlines()
    expected = [verdict_here(path.read_bytes()) for path in paths]
    assert found == expected
    assert sum(line.startswith("ok ") for line in found) > 150
